"""TF-MOT's wrappers around a twin, and what is left of it when they are taken off."""

import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.clustering.keras.experimental import (
    cluster as preserving,
)

from keras_effnet.export.compression import twin
from keras_effnet.export.compression.tfmot import quantizing

_8_BIT = tfmot.quantization.keras.default_8bit
_COMBINED = tfmot.experimental.combine
_SCHEMES = {
    None: _8_BIT.Default8BitQuantizeScheme,
    "sparsity": _COMBINED.Default8BitPrunePreserveQuantizeScheme,
    "clusters": lambda: _COMBINED.Default8BitClusterPreserveQuantizeScheme(False),
    "both": lambda: _COMBINED.Default8BitClusterPreserveQuantizeScheme(True),
}


class Technique:
    """One way to compress a built twin; its `model` is TF-MOT's own."""

    callbacks = ()  # of Keras, which the training must call

    def __init__(self, model, options):
        self._plain, self._options = model, options
        self.model = self._wrapped(model)
        settle(self.model)

    def _cloned(self, model, function, about):
        """The model with the job's layers in a wrapper."""
        wrapped = set(self._options["layers"])

        def wrap(layer):
            return function(layer, **about) if layer.name in wrapped else layer

        return tf_keras.models.clone_model(model, clone_function=wrap)

    def finish(self):
        """`(arrays, extra)`: weights, as `twin.weights` gives them, and a dict."""
        return twin.weights(self._stripped()), {}


class Quantize(Technique):
    """Quantisation-aware training; after the others it keeps what they made."""

    def _wrapped(self, model):
        base = _SCHEMES[self._options["keep"]]()
        found, self._scheme = quantizing.quantize(model, self._options["ranges"], base)
        return found

    def finish(self):
        arrays = {}
        for layer in self.model.layers:
            inner = getattr(layer, "layer", None)
            if inner is None:
                continue
            values = {_end(weight): weight.numpy() for weight in layer.weights}
            for i, weight in enumerate(self._plain.get_layer(inner.name).weights):
                arrays[f"{inner.name}/{i}"] = values[_end(weight)]
        return arrays, {"ranges": self._scheme.limits()}


class Prune(Technique):
    """The smallest weights set to zero, more and more of them."""

    def _wrapped(self, model):
        schedule = tfmot.sparsity.keras.PolynomialDecay(
            initial_sparsity=0.0,
            final_sparsity=self._options["sparsity"],
            begin_step=0,
            end_step=max(1, int(self._options["ramp"] * self._options["steps"])),
            frequency=max(1, self._options["steps"] // 50),
        )
        pattern = self._options["pattern"]
        about = {"pruning_schedule": schedule}
        if pattern == "2:4":
            about["sparsity_m_by_n"] = (2, 4)
        elif pattern == "block":
            about["block_size"] = (1, 4)
        self.callbacks = (tfmot.sparsity.keras.UpdatePruningStep(),)
        return self._cloned(model, tfmot.sparsity.keras.prune_low_magnitude, about)

    def _stripped(self):
        return tfmot.sparsity.keras.strip_pruning(self.model)


class Cluster(Technique):
    """Each kernel made of a few values."""

    def _wrapped(self, model):
        keras = tfmot.clustering.keras
        about = {
            "number_of_clusters": self._options["clusters"],
            "cluster_centroids_init": keras.CentroidInitialization.KMEANS_PLUS_PLUS,
        }
        function = keras.cluster_weights
        if self._options["keep"] == "sparsity":
            function = preserving.cluster_weights
            about["preserve_sparsity"] = True
        return self._cloned(model, function, about)

    def _stripped(self):
        return tfmot.clustering.keras.strip_clustering(self.model)


# What acts otherwise in training; SpatialDropout2D is a Dropout.
_OF_TRAINING = (tf_keras.layers.BatchNormalization, tf_keras.layers.Dropout)
TECHNIQUES = {"quantize": Quantize, "prune": Prune, "cluster": Cluster}


def settle(model):
    """Makes a network compute in training as in use.

    A batch normalisation keeps its statistics; dropout would be the larger part of
    what a short training sees as its error.
    """
    for layer in model.layers:
        inner = getattr(layer, "layer", layer)
        if isinstance(inner, _OF_TRAINING):
            _settle(inner)


def _settle(layer):
    original = layer.call

    def call(inputs, training=None):
        return original(inputs, training=False)

    layer.call = call


def _end(weight):
    return weight.name.split("/")[-1].split(":")[0]
