"""What a network computes beside its weights: how it pads, and BatchNormalization's ε.

TensorFlow's networks pad as SAME does, PyTorch's by as many zeros on each side; shapes
and names are the same, so that a file fits either and answers otherwise in one.
"""

import dataclasses

# The classes of the layers that tell.
_TELLING = "BatchNormalization", "ZeroPadding2D"


@dataclasses.dataclass(frozen=True)
class Convention:
    """How a network was trained.

    Attributes:
        padding: Of convolutions with strides, `"same"` or `"symmetric"`.
        bn_epsilon: Of every BatchNormalization; `None` where that isn't known.
        assumed: Whether the file leaves open which of the two it is.
    """

    padding: str = "same"
    bn_epsilon: float | None = 1e-3
    assumed: bool = False

    @property
    def options(self):
        """The arguments of `build_model` that make a network of this kind."""
        return {"padding": self.padding, "bn_epsilon": self.bn_epsilon}


# tensorflow/tpu's and google/automl's, so everyone's who ported their weights; and what
# timm and torchvision train in.
TENSORFLOW = Convention()
PYTORCH = Convention("symmetric", 1e-5)
PADDINGS = {known.padding: known for known in (TENSORFLOW, PYTORCH)}


def of_layers(layers):
    """The `Convention` of Keras layers, `(class name, config)` of each; `None` of
    those that have no BatchNormalization."""
    epsilon, pads = None, []
    for kind, config in layers:
        if kind == "BatchNormalization" and epsilon is None:
            epsilon = float(config["epsilon"])
        # keras.applications' layers of this name complete what SAME would pad: one more
        # zero below and at the right, where the size is even.
        elif kind == "ZeroPadding2D" and config["name"].endswith("pad"):
            pads.append(config["padding"])
    symmetric = bool(pads) and all(
        before == after for pad in pads for before, after in pad
    )
    if epsilon is None:
        return None
    return Convention("symmetric" if symmetric else "same", epsilon)


def of_config(config):
    """As `of_layers`, of a whole model's configuration; `None` where it has no list of
    layers."""
    try:
        layers = [(x["class_name"], x["config"]) for x in config["config"]["layers"]]
        return of_layers(layers)
    except (KeyError, TypeError, ValueError):
        return None


def of_model(model):
    """The `Convention` of a `keras.Model`, TensorFlow's where it has none."""
    layers = []
    for layer in model.layers:
        kinds = [kind.__name__ for kind in type(layer).__mro__]
        kind = next((kind for kind in kinds if kind in _TELLING), None)
        if kind:
            layers.append((kind, layer.get_config()))
    return of_layers(layers) or TENSORFLOW


def of_architecture(name):
    """The `Convention` of a network by timm's name for it, or `None` for another."""
    if name.startswith("tf_efficientnet"):
        return TENSORFLOW
    return PYTORCH if name.startswith("efficientnet") else None
