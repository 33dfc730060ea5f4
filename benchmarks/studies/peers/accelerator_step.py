"""Training steps on an accelerator: this package against timm on PyTorch.

    python benchmarks/studies/peers/accelerator_step.py

EfficientNetV2-S at 300 pixels and EfficientNet-B0 at 224, each in the last stage of
its ImageNet recipe: bfloat16, RMSProp, L2 of the kernels, label smoothing, moving
average. This package compiles the step with XLA, through the pieces of its training
loop; timm's network runs under `torch.compile`, channels_last, in autocast. Batches of
random pixels lie on the device, no input pipeline runs. Each side is a process of its
own, both stay on the device for all rounds, and they take turns. TensorFlow isn't
needed unless `--backend` names it.

Rounds of two kinds: `loop` is what the training loop does at every step, moving
average included; and `without EMA`. Next to images/s stand the matrix product that
the same framework reaches on the device, and the share of it that the step makes use
of: two operations for a multiply-add, and a backward pass of twice the forward pass.

Where no GPU is found, or with `--size tiny`, small images in float32 exercise the
script; their rates say nothing. Writes results/accelerator_step.json.
"""

import contextlib
import dataclasses
import multiprocessing
import shutil
import subprocess

from keras_effnet.benchmarks.studies import comparison
from keras_effnet.benchmarks.studies.peers._accelerator_sides import CLASSES
from keras_effnet.benchmarks.studies.peers._accelerator_sides import SIDES
from keras_effnet.benchmarks.studies.peers._accelerator_sides import VARIANTS
from keras_effnet.benchmarks.studies.peers._accelerator_sides import serve
from keras_effnet.costs import spec_costs
from keras_effnet.specs import get_spec

# Each with timm's name of it, its recipe, and the paper's training size and batch.
# fmt: off
NETWORKS = {
    "EfficientNetV2S": ("efficientnetv2_s", "v2_automl", 300, 128),
    "EfficientNetB0":  ("efficientnet_b0",  "v1_paper",  224, 256),
}
# fmt: on
# For one answer of a side; the first compiles everything.
TIMEOUT_SECONDS = 900


@dataclasses.dataclass(frozen=True)
class Case:
    """What both sides are asked to do; timm's isn't compiled where it is `tiny`."""

    network: str
    timm_network: str
    recipe: str
    backend: str
    image_size: int
    batch: int
    precision: str
    matrix: int
    steps: int
    rounds: int
    tiny: bool


def case_of(name, tiny, backend="jax", batch=None):
    """The `Case` of a network's name."""
    timm_network, recipe, image_size, full_batch = NETWORKS[name]
    return Case(
        name,
        timm_network,
        recipe,
        backend,
        image_size=64 if tiny else image_size,
        batch=batch or (4 if tiny else full_batch),
        precision="float32" if tiny else "bfloat16",
        matrix=512 if tiny else 8192,
        steps=2 if tiny else 30,
        rounds=3 if tiny else 7,
        tiny=tiny,
    )


def step_flops(case):
    """Floating-point operations of the training step, for one image."""
    costs = spec_costs(get_spec(case.network), case.image_size, CLASSES)
    return 3 * 2 * costs.multiply_adds


class Failed(Exception):
    """A side can't be measured; the message says why, in one line."""


class Child:
    """A side in a process of its own."""

    def __init__(self, side, case, timeout=TIMEOUT_SECONDS):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._timeout = timeout
        self._process = context.Process(target=serve, args=(side, case, theirs))
        self._process.start()
        theirs.close()

    def ask(self, name, *arguments):
        """What the method of `Side` returns; `Failed` where it can't, or takes too
        long."""
        try:
            self._connection.send((name, arguments))
            if not self._connection.poll(self._timeout):
                self.stop()
                raise Failed(f"no answer to `{name}` within {self._timeout} s")
            value, failure = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise Failed(
                f"the process ended with {self._process.exitcode} at `{name}`"
            ) from None
        if failure:
            raise Failed(failure)
        return value

    def stop(self):
        self._process.kill()
        self._process.join()
        self._connection.close()


def compare(case, start=Child, progress=print):
    """Both sides in turn; where one fails, the other alone."""
    sides, rates, peaks = {}, {}, {}
    with contextlib.ExitStack() as stack:
        children = {}
        for side in SIDES:
            children[side] = start(side, case)
            stack.callback(children[side].stop)

        def ask(side, *what):
            if "error" in sides.get(side, {}):
                return None
            try:
                return children[side].ask(*what)
            except Failed as error:
                sides[side] = {"error": str(error)}
                progress(f"{case.network}, {side}: {error}")

        for side in SIDES:
            if found := ask(side, "prepare"):
                sides[side] = found
        turns = [(side, variant) for side in SIDES for variant in VARIANTS]
        for number in range(case.rounds):
            for turn in turns[:: 1 if number % 2 == 0 else -1]:
                rates.setdefault(turn, []).append(ask(turn[0], "round", turn[1]))
        for side in SIDES:
            peaks[side] = ask(side, "peak_memory")
    for name, side in sides.items():
        if "error" not in side:
            of_side = {variant: rates[name, variant] for variant in VARIANTS}
            side |= _of_rates(case, of_side, side["matrix_tflops"])
            side["peak_memory_bytes"] = peaks[name]
    return {
        **dataclasses.asdict(case),
        "step_flops_of_an_image": step_flops(case),
        "sides": sides,
        "rate_of_timm": _rate_of_timm(sides),
    }


def _of_rates(case, rates, matrix_tflops):
    medians = comparison.medians(rates)
    return {
        "images_per_second": rates,
        "median_images_per_second": medians,
        "least_and_most": {
            name: [min(values), max(values)] for name, values in rates.items()
        },
        "share_of_matrix_rate": {
            name: rate * step_flops(case) / 1e12 / matrix_tflops
            for name, rate in medians.items()
        },
    }


def _rate_of_timm(sides):
    """`None` unless both were measured on the same kind of device."""
    if any("error" in side for side in sides.values()):
        return None
    if len({side["device"].partition(":")[0] for side in sides.values()}) > 1:
        return None
    ours, theirs = (sides[name]["median_images_per_second"] for name in SIDES)
    return {variant: ours[variant] / theirs[variant] for variant in VARIANTS}


def gpu():
    """Whether NVIDIA's driver sees a GPU; asked without taking any of its memory."""
    if shutil.which("nvidia-smi") is None:
        return False
    found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return found.returncode == 0 and "GPU" in found.stdout


def report(results):
    """What is written of networks' names and results, a dict."""
    sides = [side for result in results.values() for side in result["sides"].values()]
    devices = sorted({side["device"] for side in sides if "device" in side})
    return {
        "device": " / ".join(devices),
        "tiny": any(result["tiny"] for result in results.values()),
        "networks": results,
    }


def show(result):
    """A line for each side and variant, and one for each ratio."""
    network = result["network"]
    for name, side in result["sides"].items():
        if "error" in side:
            continue
        for variant, rate in side["median_images_per_second"].items():
            least, most = side["least_and_most"][variant]
            print(
                f"{network}, {result['image_size']} px, batch {result['batch']}, "
                f"{name}, {variant}: {rate:.1f} images/s ({least:.1f} to {most:.1f}), "
                f"{side['share_of_matrix_rate'][variant]:.1%} of "
                f"{side['matrix_tflops']:.3g} TFLOP/s, "
                f"{side['peak_memory_bytes'] / 2**30:.1f} GiB"
            )
    for variant, ratio in (result["rate_of_timm"] or {}).items():
        print(f"{network}, {variant}: {ratio:.3f} of timm")


def measure(args):
    tiny = args.size == "tiny" if args.size else not gpu()
    results = {}
    for name in args.network:
        results[name] = compare(case_of(name, tiny, args.backend, args.batch))
        show(results[name])
        yield report(results)
    return int(any(result["rate_of_timm"] is None for result in results.values()))


main = comparison.study(
    measure,
    counts={"--batch": (None, 1, "images, where memory is short")},
    networks=NETWORKS,
    more={
        "--backend": {"choices": ("jax", "tensorflow"), "default": "jax"},
        "--size": {"choices": ("full", "tiny"), "help": "full on a GPU"},
    },
)
