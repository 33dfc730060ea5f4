"""Keras model in, files out."""

from keras_effnet.export.exporting import ExportedFile
from keras_effnet.export.exporting import export

__all__ = ["ExportedFile", "export"]
