"""Keras model in, files out."""
