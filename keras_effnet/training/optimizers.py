"""The optimizers of the recipes, as the papers' code has them."""

import keras
from keras import ops

from keras_effnet.errors import check_one_of


def is_kernel(variable):
    """Whether weight decay acts on a variable: kernels, depthwise ones included, not
    biases and BatchNormalization's gamma and beta."""
    return variable.name.partition(":")[0].endswith("kernel")


class _Phased:
    """An optimizer of more variables than learn now: those that `learning()` gives, all
    where it is `None`. (Keras would take a list for variables of its own.)"""

    learning = None

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        # What JAX calls, and Keras' own takes all variables or none.
        if self.learning is None:
            return super().stateless_apply(
                optimizer_variables, grads, trainable_variables
            )
        learning = self.learning()
        mapping = [
            *zip(learning, trainable_variables, strict=True),
            *zip(self.variables, optimizer_variables, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            self.apply(grads, learning)
        return tuple(
            [scope.get_current_value(variable) for variable in variables]
            for variables in (learning, self.variables)
        )


class _KernelL2(_Phased):
    """L2 of the kernels, as `l2 / 2 * sum(kernel**2)` in the loss would be.

    Its gradient, `l2 * kernel`, is added where the optimizer takes the gradient:
    the loss that is reported stays the cross-entropy, the 200 terms of the sum
    aren't computed, and the result is the same: with accumulation, because the
    kernels don't move between the batches that are averaged, and over several
    replicas, because the gradients are summed by then. Only clipping differs: it
    acts on the gradient of the data alone.
    """

    def __init__(self, *args, l2=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.l2 = l2

    def build(self, variables):
        if not self.built:
            self._kernels = frozenset(
                index for index, each in enumerate(variables) if is_kernel(each)
            )
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        if self.l2 and self._get_variable_index(variable) in self._kernels:
            value = ops.convert_to_tensor(variable)
            gradient = ops.cast(gradient, value.dtype) + self.l2 * value
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


@keras.saving.register_keras_serializable("keras_effnet")
class RMSProp(_KernelL2, keras.optimizers.RMSprop):
    """RMSProp as TensorFlow 1 has it, which trained every published network.

        square   = rho * square + (1 - rho) * gradient**2      (from 1)
        velocity = momentum * velocity
                   + learning_rate * gradient / sqrt(square + epsilon)
        weight   = weight - velocity

    Epsilon stands inside the root, and the learning rate inside the momentum, in
    `keras.optimizers.RMSprop` too. But there the mean square starts from 0, which
    makes the first steps up to `1 / sqrt(1 - rho)` = 3.2 gradients' signs long;
    here it starts from 1, and they are short. Source: tensorflow
    `training/rmsprop.py` and its kernel `ApplyRMSProp`.

    Its arguments are those of `keras.optimizers.RMSprop`, and `l2` of the kernels.
    """

    def add_optimizer_variables(self, trainable_variables, name, initializer="zeros"):
        if name == "velocity":  # Keras' name for the mean square
            initializer = "ones"
        return super().add_optimizer_variables(trainable_variables, name, initializer)


@keras.saving.register_keras_serializable("keras_effnet")
class SGD(_KernelL2, keras.optimizers.SGD):
    """`keras.optimizers.SGD` with `l2`, the L2 of the kernels."""


@keras.saving.register_keras_serializable("keras_effnet")
class Adam(_KernelL2, keras.optimizers.Adam):
    """`keras.optimizers.Adam` with `l2`, the L2 of the kernels."""


@keras.saving.register_keras_serializable("keras_effnet")
class AdamW(_Phased, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` whose decoupled decay acts on kernels alone."""

    def build(self, variables):
        if not self.built:
            others = [variable for variable in variables if not is_kernel(variable)]
            self.exclude_from_weight_decay(var_list=others)
        super().build(variables)


def build_optimizer(recipe, learning_rate):
    """The optimizer of a recipe.

    Weight decay acts on kernels alone. With `"rmsprop"`, `"sgd"` and `"adam"` it
    is L2: equal to `weight_decay * tf.nn.l2_loss(kernel)` in the loss, as
    google/automl has it. With `"adamw"` it is decoupled: each update takes
    `learning_rate * weight_decay` of a kernel away.

    The learning rate is a float or a schedule in steps of batches. Clipping by the
    global norm, and accumulation, are Keras' own.
    """
    l2 = {"l2": recipe.weight_decay}
    sgd = {"momentum": recipe.momentum}
    adam = {"beta_1": recipe.momentum, "beta_2": recipe.rho, "epsilon": recipe.epsilon}
    kinds = {
        "rmsprop": (RMSProp, sgd | l2 | {"rho": recipe.rho, "epsilon": recipe.epsilon}),
        "sgd": (SGD, sgd | l2),
        "adam": (Adam, adam | l2),
        "adamw": (AdamW, adam | {"weight_decay": recipe.weight_decay}),
    }
    check_one_of("optimizer", recipe.optimizer, kinds)
    kind, options = kinds[recipe.optimizer]
    return kind(
        learning_rate,
        **options,
        global_clipnorm=recipe.gradient_clip,
        gradient_accumulation_steps=None
        if recipe.accumulate == 1
        else recipe.accumulate,
    )
