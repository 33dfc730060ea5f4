"""Puts named arrays into a model, after checking every one of them."""

from keras_effnet.errors import InputError

# Present in files of models whose normalisation was a layer with variables, or
# that had a last 1x1 convolution and a classifier; the model decides whether it
# wants them.
_OPTIONAL = ("normalization/", "top_conv/", "top_bn/", "predictions/")


def variables_by_name(model):
    """`{"stem_conv/kernel": variable, ...}` of every weight of a model."""
    return {
        f"{layer.name}/{variable.name}": variable
        for layer in model.layers
        for variable in layer.weights
    }


def assign(model, values, source):
    """Assigns arrays to the variables of the same name.

    Args:
        model: A `keras.Model`.
        values: `{"stem_conv/kernel": array, ...}`.
        source: What the error message calls the arrays' origin.

    Raises:
        InputError: A name is missing or left over, or a shape differs. Nothing
            was assigned then.
    """
    variables = variables_by_name(model)
    problems = []
    for name, variable in variables.items():
        if name not in values:
            problems.append(f"{name} {tuple(variable.shape)} is not in the file")
        elif tuple(values[name].shape) != tuple(variable.shape):
            problems.append(
                f"{name} is {tuple(variable.shape)} in the model and "
                f"{tuple(values[name].shape)} in the file"
            )
    for name, value in values.items():
        if name not in variables and not name.startswith(_OPTIONAL):
            problems.append(f"the file's {name} {tuple(value.shape)} has no place")
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise InputError(
            f"The weights are not those of {model.name}: {'; '.join(problems[:3])}"
            f"{more}. Received: {source!r}"
        )
    for name, variable in variables.items():
        variable.assign(values[name])
