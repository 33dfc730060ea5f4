"""Which numbers are rounded in training, and how: as the .tflite file will.

A scheme for `quantize_apply`, over any of TF-MOT's own 8-bit schemes: their transforms
find what is fused, their registries keep sparsity and clusters. Added are Multiply,
sigmoid, Rescaling and batch normalisation alone; a scale for every channel of depthwise
and dense kernels; and ranges that are known from the start and learned from there.
"""

import copy

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
    default_8bit_quantize_configs as tfmot_configs,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
    default_8bit_quantizers as tfmot_quantizers,
)

quantization = tfmot.quantization.keras
# What the LiteRT quantization specification fixes: 1/256 and 1/128 a step.
_FIXED = {"sigmoid": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128)}
_OF_OUTPUT = ("BatchNormalization", "Multiply", "Rescaling")
# A file's average has the scale of what it averages.
_SAME_SCALE = ("AveragePooling2D",)
_KERNELS = ("Conv2D", "Dense", "DepthwiseConv2D")


class Range(quantization.quantizers.Quantizer):
    """Rounds an activation to 256 steps of a range that is learned.

    Gradients reach the limits from the values that are cut off there (Jacob et al.
    2018, section 3). The limits move by shares of themselves.
    """

    def __init__(self, low, high, learned=True):
        self.low, self.high, self.learned = min(low, 0.0), max(high, 0.0), learned
        self._logs = None

    def build(self, tensor_shape, name, layer):
        self._logs = layer.add_weight(
            f"{name}_logs", shape=(2,), initializer="zeros", trainable=self.learned
        )
        return {"logs": self._logs}

    def __call__(self, inputs, training, weights, **kwargs):
        low, high = self._limits(weights["logs"])
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)

    def _limits(self, logs):
        scales = tf.exp(logs)
        return self.low * scales[0], self.high * scales[1]

    @property
    def in_use(self):
        """Whether a layer rounds by it: TF-MOT asks for more than it uses."""
        return self._logs is not None

    def limits(self):
        """The range now, two floats."""
        low, high = self._limits(self._logs)
        return float(low), float(high)

    def get_config(self):
        return {"low": self.low, "high": self.high, "learned": self.learned}


class DepthwiseKernels(quantization.quantizers.LastValueQuantizer):
    """One scale for every output channel; TF-MOT's own has one for all of them."""

    def __init__(self):
        super().__init__(num_bits=8, per_axis=True, symmetric=True, narrow_range=True)

    def build(self, tensor_shape, name, layer):
        channels = (tensor_shape[-2] * tensor_shape[-1],)
        return {
            f"{end}_var": layer.add_weight(
                f"{name}_{end}", shape=channels, initializer="zeros", trainable=False
            )
            for end in ("min", "max")
        }

    def __call__(self, inputs, training, weights, **kwargs):
        flat = tf.reshape(inputs, (-1, inputs.shape[-2] * inputs.shape[-1]))
        rounded = super().__call__(flat, training, weights, **kwargs)
        return tf.reshape(rounded, inputs.shape)


class Output(tfmot_configs.Default8BitOutputQuantizeConfig):
    """Rounds what a layer answers, nothing in it."""

    def __init__(self, quantizer):
        super().__init__()
        self._quantizer = quantizer

    def get_output_quantizers(self, layer):
        return [self._quantizer]


class Scheme(quantization.QuantizeScheme):
    """A `QuantizeScheme` of TF-MOT with the additions above.

    Of layers without a range, `{layer: (least, greatest)}`, activations are observed by
    a moving average, as TF-MOT does.
    """

    def __init__(self, base, ranges):
        self._base, self._ranges = base, ranges
        self._made = {}

    def get_layout_transformer(self):
        return _Layout(self._base.get_layout_transformer(), self.config)

    def get_quantize_registry(self):
        return _Registry(self._base.get_quantize_registry(), self.config)

    def quantizer(self, name):
        """How to round what a layer answers."""
        if name not in self._ranges:
            return quantization.quantizers.MovingAverageQuantizer(
                num_bits=8, per_axis=False, symmetric=False, narrow_range=False
            )
        if name not in self._made:
            self._made[name] = Range(*self._ranges[name])
        return self._made[name]

    def limits(self):
        """`{layer: (least, greatest)}` of the activations that were rounded."""
        return {name: made.limits() for name, made in self._made.items() if made.in_use}

    def config(self, layer, given=None):
        """The `QuantizeConfig` of a layer, from what a transform or TF-MOT's registry
        decided for it."""
        given = copy.copy(given)  # TF-MOT has one for all convolutions
        if hasattr(given, "weight_quantizer"):
            # One layer without zeros makes it give up those of all others.
            given.weight_quantizer = copy.copy(given.weight_quantizer)
        kind = type(layer).__name__
        fixed = _FIXED.get(getattr(getattr(layer, "activation", None), "__name__", ""))
        if kind == "Activation" and fixed:
            return Output(Range(*fixed, learned=False))
        if kind == "Rescaling" and layer.name in self._ranges:
            # Pixels have the range that they have.
            return Output(Range(*self._ranges[layer.name], learned=False))
        if kind in _OF_OUTPUT and not isinstance(
            given, tfmot_configs.NoOpQuantizeConfig
        ):
            return Output(self.quantizer(layer.name))
        if kind in _KERNELS and isinstance(given, tfmot_configs.NoOpQuantizeConfig):
            # Before a ReLU TF-MOT leaves the kernel in float, too.
            given = self._base.get_quantize_registry().get_quantize_config(layer)
            given.activation_attrs = []
        if hasattr(given, "activation_quantizer"):
            given.activation_quantizer = self.quantizer(layer.name)
            if kind in _SAME_SCALE:
                given.quantize_output = False
        if kind == "DepthwiseConv2D":
            given.weight_quantizer = DepthwiseKernels()
        plain = quantization.quantizers.LastValueQuantizer
        if kind == "Dense" and type(given.weight_quantizer) is plain:
            given.weight_quantizer = tfmot_quantizers.Default8BitConvWeightsQuantizer()
        return given


class _Layout(quantization.QuantizeLayoutTransform):
    def __init__(self, base, config):
        self._base, self._config = base, config

    def apply(self, model, layer_quantize_map):
        model, found = self._base.apply(model, layer_quantize_map)
        for layer in model.layers:
            given = found.get(layer.name, {}).get("quantize_config")
            if given is not None:
                found[layer.name]["quantize_config"] = self._config(layer, given)
        return model, found


class _Registry(quantization.QuantizeRegistry):
    def __init__(self, base, config):
        self._base, self._config = base, config

    def supports(self, layer):
        return type(layer).__name__ in _OF_OUTPUT or self._base.supports(layer)

    def get_quantize_config(self, layer):
        given = None
        if type(layer).__name__ not in _OF_OUTPUT:
            given = self._base.get_quantize_config(layer)
        return self._config(layer, given)


def quantize(model, ranges, scheme):
    """Makes a built twin round its numbers in training; its Rescaling stays in float.

    What TF-MOT's `quantize_apply` returned, and the `Scheme`.
    """

    def annotate(layer):
        if isinstance(layer, tf_keras.layers.Rescaling):
            return layer
        return quantization.quantize_annotate_layer(layer)

    scheme = Scheme(scheme, ranges)
    annotated = tf_keras.models.clone_model(model, clone_function=annotate)
    quantized = quantization.quantize_apply(annotated, scheme)
    source = model.input.name.split(":")[0]
    for layer in quantized.layers:
        if type(layer).__name__ == "QuantizeLayer" and source in ranges:
            for end, value in zip(("min", "max"), ranges[source], strict=True):
                layer.quantizer_vars[f"{end}_var"].assign(value)
    return quantized, scheme
