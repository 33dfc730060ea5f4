"""Fits the arrays of a file to a model that differs at its ends.

The input channels, the classes and the normalisation may differ; everything
between must be the same network, which `assign` checks.
"""

import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.rule import NORMALIZATIONS

# ImageNet, ImageNet with a background class, ImageNet-21k. A user who asks for
# another count wants another classifier; a file of any other count is somebody's
# own, whose classifier must not get lost unsaid.
PUBLISHED_CLASSES = (1000, 1001, 21843)
_KERNEL, _BIAS = "predictions/kernel", "predictions/bias"
_NORMALIZATION = "normalization/"


def fit(values, shapes, source, rule=None):
    """Fits `{"stem_conv/kernel": array, ...}` of a file to the shapes of a model's
    variables.

    Gives a new dict, with the model's channels in the stem's kernel and `None` for a
    variable that shall stay as it is, and a sentence where that happened, else `None`.
    Refused: values that are not finite, a normalisation that no published set has, and
    a classifier of an unpublished number of classes that is not the model's.
    """
    _check_finite(values, source)
    values = _without_normalization(values, source, rule)
    if "stem_conv/kernel" in values and "stem_conv/kernel" in shapes:
        channels = shapes["stem_conv/kernel"][2]
        values["stem_conv/kernel"] = stem(values["stem_conv/kernel"], channels)
    note = None
    if _KERNEL in shapes:
        note = _fit_head(values, shapes[_KERNEL][-1], source)
    return values, note


def stem(kernel, channels):
    """A first convolution, `(height, width, channels, filters)`, for other input
    channels.

    One channel gets the sum, so that a grey image gives what it gave as three equal
    channels; more repeat the kernel, scaled so that the activations keep their size.
    """
    if kernel.ndim != 4 or kernel.shape[2] == channels:
        return kernel
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    indices = np.arange(channels) % kernel.shape[2]
    return kernel[:, :, indices] * (kernel.shape[2] / channels)


def _check_finite(values, source):
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise InputError(
                f"The file is damaged, {name} holds values that are no finite numbers. "
                f"Received: {source!r}"
            )


def _without_normalization(values, source, rule):
    """The model normalises by its own stock layers; the file's must say the same."""
    mean = values.get(_NORMALIZATION + "mean")
    variance = values.get(_NORMALIZATION + "variance")
    if mean is not None and variance is not None:
        mean, variance = np.ravel(mean).astype(float), np.ravel(variance).astype(float)
        found = 255 * mean, 255 * np.sqrt(variance)
        known = [NORMALIZATIONS["imagenet"], *([(rule.mean, rule.std)] if rule else ())]
        if not any(_close(found, each) for each in known):
            mean, std = (tuple(side.round(4).tolist()) for side in found)
            raise InputError(
                "The file normalises pixels otherwise than the model: build it with "
                f"preprocessing=Preprocessing(mean={mean}, std={std}), which is in "
                f"keras_effnet.preprocessing. Received: {source!r}"
            )
    return {k: v for k, v in values.items() if not k.startswith(_NORMALIZATION)}


def _close(found, known):
    sizes = {np.size(side) for side in (*found, *known)}
    return len(sizes) == 1 and np.allclose(found, known, atol=0.03)


def _fit_head(values, classes, source):
    kernel, bias = values.get(_KERNEL), values.get(_BIAS)
    others = {n for n in values if n.startswith("predictions/")} - {_KERNEL, _BIAS}
    if others:
        names = ", ".join(sorted(n.removeprefix("predictions/") for n in others))
        raise InputError(
            f"The file's head is more than one layer, it has {names} too: build the "
            "network with include_top=False and put such a head on it. "
            f"Received: {source!r}"
        )
    if kernel is None and bias is None:
        if classes in PUBLISHED_CLASSES:
            return None
        what = "no classifier"
    else:
        found = np.shape(kernel)[-1] if np.ndim(kernel) == 2 else None
        if found in (classes, None) or np.shape(bias) != (found,):
            return None
        if (found, classes) == (1001, 1000):
            values[_KERNEL], values[_BIAS] = kernel[:, 1:], bias[1:]
            return None
        if found not in PUBLISHED_CLASSES:
            raise InputError(
                f"The file's classifier has {found} classes, the model {classes}: "
                f"build it with classes={found}, or with include_top=False and add "
                f"your own. Received: {source!r}"
            )
        what = f"a classifier of {found} classes"
    values[_KERNEL] = values[_BIAS] = None
    return f"{source} holds {what}: the model's, of {classes}, starts random."
