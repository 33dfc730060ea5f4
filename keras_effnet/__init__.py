"""EfficientNet for phones: networks, weights, export to .tflite, measurement.

The public surface. Everything but Keras itself is imported on first use.
"""

import importlib

# Registers Swish, so that a saved model that holds one loads after this import.
from keras_effnet.activations import Swish
from keras_effnet.specs import SPECS

__version__ = "0.1.0.dev0"

_HOME = {
    **dict.fromkeys(SPECS, "models"),
    "build_model": "models",
    "compound_scale": "scaling",
    "scaled_spec": "scaling",
    "load_weights": "weights",
    "InputError": "errors",
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

__all__ = ["SPECS", "Swish", *_HOME, *_ROOMS]


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f"keras_effnet.{_HOME[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"keras_effnet.{name}")
    raise AttributeError(f"module 'keras_effnet' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
