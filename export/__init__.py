"""Keras model in, files out."""

from keras_effnet.export.exporting import ExportedFile
from keras_effnet.export.exporting import export
from keras_effnet.export.measuring import Images
from keras_effnet.export.precisions import PRECISIONS

__all__ = ["PRECISIONS", "ExportedFile", "Images", "export"]
