"""Swish with a fixed or a trainable beta."""

from typing import Any

import keras
from keras import KerasTensor
from keras import ops


@keras.saving.register_keras_serializable("keras_effnet")
class Swish(keras.layers.Layer):
    """`x * sigmoid(beta * x)` (Ramachandran et al., "Searching for Activation
    Functions", 2017, Section 5).

    `beta = 0` gives `x / 2`, `beta = 1` is SiLU, and a large `beta` tends to
    ReLU. The gradient is `beta * f(x) + sigmoid(beta * x) * (1 - beta * f(x))`.
    For a fixed `beta = 1` the stock `"swish"` is the same and needs no custom
    layer.

    A saved model that holds this layer loads once `keras_effnet.Swish` is
    imported.

    Args:
        beta: A float, the value, or the initial value where it is trained.
        trainable_beta: Whether `beta` is one trainable scalar of this layer.
        **kwargs: Of `keras.layers.Layer`.

    Input and output have the same shape.
    """

    def __init__(
        self, beta: float = 1.0, trainable_beta: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.initial_beta = float(beta)
        self.trainable_beta = bool(trainable_beta)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if self.trainable_beta:
            self.beta = self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(self.initial_beta),
                name="beta",
            )
        else:
            self.beta = self.initial_beta
        self.built = True

    def call(self, inputs: KerasTensor) -> KerasTensor:
        beta = ops.cast(self.beta, inputs.dtype)
        return inputs * ops.sigmoid(beta * inputs)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta": self.initial_beta,
            "trainable_beta": self.trainable_beta,
        }
