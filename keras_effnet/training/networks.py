"""The network of a recipe: as it is trained, and as it is used afterwards."""

import contextlib
import dataclasses

import keras

from keras_effnet import made_with
from keras_effnet import saving
from keras_effnet import weights as weights_room
from keras_effnet.models import build_model
from keras_effnet.rule import at_size
from keras_effnet.scaling import scaled_spec
from keras_effnet.specs import get_spec
from keras_effnet.training.batch_norm import GroupedBatchNormalization
from keras_effnet.training.stages import drop_connect_rates
from keras_effnet.weights import convention
from keras_effnet.weights.blocks import blocks
from keras_effnet.weights.fit import PUBLISHED_CLASSES

_HEAD = "predictions"


def eval_size(recipe):
    """Height and width of the images that are evaluated, in pixels."""
    return recipe.eval_image_size or _spec(recipe).image_size


def _spec(recipe):
    spec = get_spec(recipe.model)
    if recipe.width is None and recipe.depth is None:
        return spec
    return scaled_spec(
        spec,
        width=recipe.width or spec.width,
        depth=recipe.depth or spec.depth,
        name=recipe.name,
    )


def evaluation_rule(recipe, rule):
    """The `Preprocessing` of a recipe's weights as the recipe evaluates by it."""
    rule = at_size(rule, eval_size(recipe))
    if recipe.whole_image:
        rule = dataclasses.replace(
            rule, crop_padding=None, crop_fraction=None, crops=()
        )
    return rule


def training_model(recipe, source, replicas=1):
    """The network for images of any size, with logits, as a batch that is divided among
    `replicas` devices needs it; and the `Preprocessing` of its weights at the
    evaluation size."""
    pairs = {
        "dropout_rate": recipe.dropout_rate,
        "drop_connect_rate": recipe.drop_connect_rate,
    }
    # Built with the highest rates: a layer that a later stage needs must be there.
    options = {name: pair and max(pair) for name, pair in pairs.items()}
    published = len(source.class_names) in PUBLISHED_CLASSES
    located = None
    if recipe.weights is not None:
        located = weights_room.locate(recipe.weights, _spec(recipe).name, published)
        options["preprocessing"] = located.preprocessing(eval_size(recipe))
        options |= (located.convention or convention.TENSORFLOW).options
    with _policy(recipe.mixed_precision):
        model = _build(recipe, source, None, None, **options)
        if replicas > 1:
            model = _with_statistics(model, recipe.synchronized_bn, replicas)
    if not published:
        # The published initialiser is meant for 1000 classes: it starts ten of them
        # at a loss of 7. From zero, every class starts equally likely.
        head = model.get_layer(_HEAD)
        head.kernel.assign(keras.ops.zeros(head.kernel.shape))
    if located is not None:
        weights_room.load_file(model, located)
    return model, evaluation_rule(recipe, saving.attached(model))


def _with_statistics(model, synchronized, replicas):
    """The model, whose BatchNormalization looks at the whole batch or at replicas."""
    on_tensorflow = keras.backend.backend() == "tensorflow"
    if synchronized != on_tensorflow:
        return model  # as it comes: JAX sees one batch, TensorFlow's replicas their own

    def copied(layer):
        if type(layer) is not keras.layers.BatchNormalization:
            return layer.__class__.from_config(layer.get_config())
        if on_tensorflow:
            config = {**layer.get_config(), "synchronized": True}
            return keras.layers.BatchNormalization.from_config(config)
        return GroupedBatchNormalization(replicas, **layer.get_config())

    found = keras.models.clone_model(model, clone_function=copied)
    found.set_weights(model.get_weights())
    saving.attach(found, saving.attached(model), None, saving.made_with(model))
    return found


@contextlib.contextmanager
def _policy(name):
    """Layers that are built inside have this dtype policy, or the global one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name or before)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _build(recipe, source, size, activation, **options):
    return build_model(
        _spec(recipe),
        classes=len(source.class_names),
        input_shape=(size, size, recipe.channels),
        classifier_activation=activation,
        bn_momentum=recipe.bn_momentum,
        **options,
    )


def final_model(recipe, source, trained, preprocessing):
    """The trained network of `training_model` at its evaluation size, with
    probabilities, its preprocessing and class names attached."""
    with _policy("float32"):
        model = _build(
            recipe,
            source,
            eval_size(recipe),
            recipe.loss,  # by which its probabilities are named, too
            preprocessing=preprocessing,
            **convention.of_model(trained).options,
        )
    model.set_weights(trained.get_weights())
    learned = made_with.united(saving.made_with(trained), source.digests)
    saving.attach(model, saving.attached(model), source.class_names, learned)
    return model


def set_rates(model, stage):
    """Gives the dropouts of a model the rates of a stage."""
    names = [block.name for block in blocks(model)]
    rates = drop_connect_rates(stage.drop_connect_rate, len(names))
    for layer in model.layers:
        if layer.name == "top_dropout":
            layer.rate = stage.dropout_rate
        elif isinstance(layer, keras.layers.Dropout):
            layer.rate = rates[names.index(layer.name.removesuffix("_drop"))]


def set_trainable(model, phase, recipe):
    """Which layers learn: the classifier alone in the phase `"head"`, else all,
    but with `freeze_bn` no BatchNormalization."""
    for layer in model.layers:
        layer.trainable = layer.name == _HEAD if phase == "head" else True
        if recipe.freeze_bn and isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def metrics(classes):
    """Top-1, and top-5 where there are more classes than that."""
    found = [_Accuracy(name="accuracy")]
    if classes > 5:
        found.append(_TopKAccuracy(5, name="top5"))
    return found


def _of_images(labels):
    # What fills up a batch has no class.
    return keras.ops.any(labels > 0, axis=-1)


class _Accuracy(keras.metrics.CategoricalAccuracy):
    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(y_true, y_pred, _of_images(y_true))


class _TopKAccuracy(keras.metrics.TopKCategoricalAccuracy):
    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(y_true, y_pred, _of_images(y_true))


def synchronise(model):
    """Makes sure that a model holds its weights, in the middle of `fit`."""
    # On JAX `fit` holds them itself and gives them back only when asked.
    if keras.backend.backend() == "jax" and hasattr(model, "_jax_state"):
        model.jax_state_sync()


def averaged(ema):
    """A context in which a model has its averaged weights, where there are any."""
    return ema.swap() if ema else contextlib.nullcontext()
