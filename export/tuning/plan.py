"""What a search tries, in which order."""

import dataclasses
import functools
import time

import numpy as np

from keras_effnet import notes
from keras_effnet.errors import InputError
from keras_effnet.export import converting
from keras_effnet.export.calibration import evenly
from keras_effnet.export.levers import distillation
from keras_effnet.export.levers import islands
from keras_effnet.export.levers import ranges
from keras_effnet.export.levers import rounding
from keras_effnet.export.levers import sensitivity
from keras_effnet.export.levers.draft import Draft
from keras_effnet.export.levers.network import Network
from keras_effnet.export.tuning import candidates as trying

_SENSITIVITY_IMAGES = 48
# Distillation: as many steps as fit into this part of the time that is left.
_PART = 0.6


class Plan:
    """The levers, one after the other.

    After `deadline`, of `time.monotonic`, nothing new is begun. `shares` of the work,
    for islands, ascend; `steps` are the least and the most of distillation, which is
    not tried where they are `None`. `sensitivity` is then `Sensitivity.as_json()`, or
    `None` where it was not needed.
    """

    def __init__(self, candidates, images, seed, deadline, shares, steps):
        self._candidates, self._images = candidates, images
        self._store, self._tell = candidates.store, candidates.tell
        self._network = candidates.network
        self._seed, self._deadline = seed, deadline
        self._shares, self._steps = shares, steps
        self.sensitivity = None
        self._draft = self._figures = None
        self._told = False
        try:
            self._network.check()
            self._computable = True
        except InputError as error:
            self._computable = False
            notes.warn(f"no levers that need gradients. {error}")

    def run(self):
        """Tries everything that may be needed and fits into the time."""
        self._begin()
        plain = self._draft
        for name, method in _METHODS.items():
            if self._late():
                return
            # Each begins with the plain draft: they replace each other.
            self._try(name, functools.partial(self._with_ranges, plain, name, method))
        for precision in trying.REFERENCES:
            self._candidates.try_precision(precision)
        if self._late():
            return
        self._try("rounding by layer", self._rounded)
        if self._done() or not self._computable:
            return
        self._islands("")
        if self._distil() and not self._done():
            self._islands("distilled, ")

    def _begin(self):
        self._tell("calibrating")
        data = self._candidates.trace.float32
        draft = self._store.draft(
            trying.PLAIN,
            lambda: Draft(data, self._pinned(self._observed.ranges.by_tensor)),
        )
        self._figures = self._candidates.try_draft(trying.PLAIN, draft)
        self._draft = draft

    @functools.cached_property
    def _observed(self):
        images = (image[None] for image in self._images)
        return ranges.observe(self._candidates.trace.float32, images, self._seed)

    def _with_ranges(self, plain, name, method):
        found = method(self._observed, self._network)
        return dataclasses.replace(plain, ranges=self._pinned(found), levers=(name,))

    def _rounded(self):
        images = np.asarray(self._images)
        return rounding.optimise(self._draft, images, self._seed, self._tell)

    def _pinned(self, found):
        """As the file will have them: those of the pixels are known."""
        return converting.pinned(self._candidates.trace, found)

    def _try(self, name, make):
        """Keeps what a lever did if the answers came closer to the float ones."""
        draft = self._store.draft(name, make)
        if (draft.data, draft.ranges) == (self._draft.data, self._draft.ranges):
            return  # the network has nothing for it
        figures = self._candidates.try_draft(name, draft)
        if figures["divergence"] < self._figures["divergence"]:
            self._draft, self._figures = draft, figures

    def _islands(self, prefix):
        found = self._measured(prefix)
        if not prefix:
            self.sensitivity = found.as_json(self._network)
        before = frozenset()
        for share in self._shares:
            if self._late():
                return
            names = islands.float_nodes(self._network, found, share)
            if names == before:
                continue
            before = names
            draft = self._draft.after(f"float islands {share:.0%}", float_nodes=names)
            figures = self._candidates.try_draft(
                f"{prefix}float islands {share:.0%}", draft
            )
            if figures["within"]:
                return  # larger ones are slower

    def _measured(self, prefix):
        def measure():
            self._tell("measuring the sensitivity of each tensor")
            images = self._images[evenly(len(self._images), _SENSITIVITY_IMAGES)]
            started = time.monotonic()
            found = sensitivity.measure(
                Network(self._draft.data),
                self._draft.ranges,
                images,
                self._seed,
                self._tell,
            )
            seconds = (time.monotonic() - started) / len(images)
            return dataclasses.asdict(found) | {"seconds": seconds}

        kept = self._store.value(f"{prefix}sensitivity", measure)
        self._seconds = kept["seconds"]
        return sensitivity.Sensitivity(
            *({int(i): nats for i, nats in kept[part].items()} for part in _PARTS)
        )

    def _distil(self):
        """Returns whether it was done and paid."""
        if not self._steps or self._late():
            return False
        least, most = self._steps
        left = self._deadline - time.monotonic()
        cost = self._seconds / 2 * distillation.BATCH
        possible = min(most, int(_PART * left / cost))
        enough = possible if possible >= least else None
        steps = self._store.value("distillation steps", lambda: enough)
        if steps is None:
            notes.warn("the budget is too short for distillation")
            return False
        self._tell(f"distilling, {steps} steps")
        before = self._draft
        self._try(
            "distillation",
            lambda: distillation.distil(
                before,
                np.asarray(self._images),
                steps,
                self._seed,
                self._store.state("distillation"),
                self._tell,
            ),
        )
        return self._draft is not before

    def _done(self):
        """Whether a file that is all int8, the fastest kind, is within the limits."""
        return any(
            c["within"] and not c["float_nodes"] and c["precision"] == "int8"
            for c in self._candidates.found
        )

    def _late(self):
        late = time.monotonic() >= self._deadline
        if late and not self._told:
            notes.warn("the budget is spent, the search ends here")
            self._told = True
        return late


_PARTS = ("activations", "kernels")
_METHODS = {
    "percentile 99.99": functools.partial(ranges.percentile, share=0.9999),
    "percentile 99.999": functools.partial(ranges.percentile, share=0.99999),
    "least square error": functools.partial(ranges.least_error, power=2.0),
    "least cubic error": functools.partial(ranges.least_error, power=3.0),
}
