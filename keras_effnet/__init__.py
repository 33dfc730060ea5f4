"""EfficientNet for phones: networks, weights, export to .tflite, measurement.

The public surface. Everything is imported on first use, Keras too.
"""

import importlib
import sys

from keras_effnet.specs import SPECS

__version__ = "0.1.0.dev0"

_HOME = {
    **dict.fromkeys(SPECS, "models"),
    "build_model": "models",
    "compound_scale": "scaling",
    "scaled_spec": "scaling",
    "load_weights": "weights",
    "InputError": "errors",
    "Swish": "activations",
}
_ROOMS = (
    "analysis",
    "benchmarks",
    "blocks",
    "class_names",
    "data",
    "evaluation",
    "export",
    "models",
    "preprocessing",
    "scaling",
    "scaling_search",
    "specs",
    "training",
    "weights",
)

__all__ = ["SPECS", *_HOME, *_ROOMS]

if "keras" in sys.modules:
    # Registers Swish, so that Keras can load a saved model that holds one.
    importlib.import_module("keras_effnet.activations")


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f"keras_effnet.{_HOME[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"keras_effnet.{name}")
    raise AttributeError(f"module 'keras_effnet' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
