"""Keras model in, files out; the module is called as its `export` is."""

import sys
import types

from keras_effnet import lazy
from keras_effnet.export.compression.compressing import Compressed
from keras_effnet.export.compression.making import train_and_export
from keras_effnet.export.compression.recipe import CompressionRecipe
from keras_effnet.export.compression.techniques import cluster
from keras_effnet.export.compression.techniques import prune
from keras_effnet.export.compression.techniques import qat
from keras_effnet.export.exported_text import table
from keras_effnet.export.exporting import export
from keras_effnet.export.judge import Images
from keras_effnet.export.onnx import write_onnx
from keras_effnet.export.precisions import PRECISIONS
from keras_effnet.export.publishing import ExportedFile
from keras_effnet.export.quantizing import quantize
from keras_effnet.export.samples import write_samples
from keras_effnet.export.saved_model import write_saved_model

__all__ = [
    "PRECISIONS",
    "Compressed",
    "CompressionRecipe",
    "ExportedFile",
    "Images",
    "cluster",
    "export",
    "prune",
    "qat",
    "quantize",
    "table",
    "train_and_export",
    "write_onnx",
    "write_samples",
    "write_saved_model",
]

__getattr__ = lazy.modules(__name__)


class _Room(types.ModuleType):
    __call__ = staticmethod(export)


sys.modules[__name__].__class__ = _Room
