"""EfficientNet for phones: networks, weights, export to .tflite, measurement.

The public surface. Everything is imported on first use, Keras too.
"""

import importlib
import sys
from typing import TYPE_CHECKING
from typing import Any

from keras_effnet import lazy
from keras_effnet.specs import SPECS

if TYPE_CHECKING:  # what `__getattr__` gives, for editors and type checkers
    from keras_effnet import analysis as analysis
    from keras_effnet import benchmarks as benchmarks
    from keras_effnet import blocks as blocks
    from keras_effnet import class_names as class_names
    from keras_effnet import costs as costs
    from keras_effnet import data as data
    from keras_effnet import evaluation as evaluation
    from keras_effnet import export as export
    from keras_effnet import models as models
    from keras_effnet import notes as notes
    from keras_effnet import preprocessing as preprocessing
    from keras_effnet import rule as rule
    from keras_effnet import saving as saving
    from keras_effnet import scaling as scaling
    from keras_effnet import scaling_search as scaling_search
    from keras_effnet import sheet as sheet
    from keras_effnet import specs as specs
    from keras_effnet import tflite as tflite
    from keras_effnet import training as training
    from keras_effnet import weights as weights
    from keras_effnet.activations import Swish as Swish
    from keras_effnet.benchmarks import benchmark as benchmark
    from keras_effnet.class_names import decode_predictions as decode_predictions
    from keras_effnet.errors import InputError as InputError
    from keras_effnet.evaluation import evaluate as evaluate
    from keras_effnet.export import quantize as quantize
    from keras_effnet.models import EfficientNetB0 as EfficientNetB0
    from keras_effnet.models import EfficientNetB1 as EfficientNetB1
    from keras_effnet.models import EfficientNetB2 as EfficientNetB2
    from keras_effnet.models import EfficientNetB3 as EfficientNetB3
    from keras_effnet.models import EfficientNetB4 as EfficientNetB4
    from keras_effnet.models import EfficientNetB5 as EfficientNetB5
    from keras_effnet.models import EfficientNetB6 as EfficientNetB6
    from keras_effnet.models import EfficientNetB7 as EfficientNetB7
    from keras_effnet.models import EfficientNetB8 as EfficientNetB8
    from keras_effnet.models import EfficientNetEdgeTPUL as EfficientNetEdgeTPUL
    from keras_effnet.models import EfficientNetEdgeTPUM as EfficientNetEdgeTPUM
    from keras_effnet.models import EfficientNetEdgeTPUS as EfficientNetEdgeTPUS
    from keras_effnet.models import EfficientNetL2 as EfficientNetL2
    from keras_effnet.models import EfficientNetLite0 as EfficientNetLite0
    from keras_effnet.models import EfficientNetLite1 as EfficientNetLite1
    from keras_effnet.models import EfficientNetLite2 as EfficientNetLite2
    from keras_effnet.models import EfficientNetLite3 as EfficientNetLite3
    from keras_effnet.models import EfficientNetLite4 as EfficientNetLite4
    from keras_effnet.models import EfficientNetV2B0 as EfficientNetV2B0
    from keras_effnet.models import EfficientNetV2B1 as EfficientNetV2B1
    from keras_effnet.models import EfficientNetV2B2 as EfficientNetV2B2
    from keras_effnet.models import EfficientNetV2B3 as EfficientNetV2B3
    from keras_effnet.models import EfficientNetV2L as EfficientNetV2L
    from keras_effnet.models import EfficientNetV2M as EfficientNetV2M
    from keras_effnet.models import EfficientNetV2S as EfficientNetV2S
    from keras_effnet.models import EfficientNetV2XL as EfficientNetV2XL
    from keras_effnet.models import build_model as build_model
    from keras_effnet.models import create_model as create_model
    from keras_effnet.models import list_models as list_models
    from keras_effnet.preprocessing import preprocess_input as preprocess_input
    from keras_effnet.saving import load_model as load_model
    from keras_effnet.scaling import compound_scale as compound_scale
    from keras_effnet.scaling import scaled_spec as scaled_spec
    from keras_effnet.training import train as train
    from keras_effnet.weights import load_weights as load_weights

__version__ = "0.1.0.dev0"

_HOME = {
    **dict.fromkeys(SPECS, "models"),
    "build_model": "models",
    "create_model": "models",
    "list_models": "models",
    "compound_scale": "scaling",
    "scaled_spec": "scaling",
    "load_weights": "weights",
    "load_model": "saving",
    "preprocess_input": "preprocessing",
    "decode_predictions": "class_names",
    "train": "training",
    "evaluate": "evaluation",
    "quantize": "export",
    "benchmark": "benchmarks",
    "InputError": "errors",
    "Swish": "activations",
}
_ROOMS = (
    "analysis",
    "benchmarks",
    "blocks",
    "class_names",
    "costs",
    "data",
    "evaluation",
    "export",
    "models",
    "notes",
    "preprocessing",
    "rule",
    "saving",
    "scaling",
    "scaling_search",
    "sheet",
    "specs",
    "tflite",
    "training",
    "weights",
)

__all__ = ["SPECS", *_HOME, *_ROOMS]

if "keras" in sys.modules:
    # Registers Swish, so that Keras can load a saved model that holds one.
    importlib.import_module("keras_effnet.activations")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"keras_effnet.{_HOME[name]}"), name)
    return lazy.modules(__name__)(name)


def __dir__() -> list[str]:
    return sorted(__all__)
