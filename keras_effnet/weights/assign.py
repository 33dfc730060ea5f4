"""Puts named arrays into a model, after checking every one of them."""

from keras_effnet.errors import InputError

# A file may have a last 1x1 convolution and a classifier; the model decides
# whether it wants them.
_OPTIONAL = ("top_conv/", "top_bn/", "predictions/")


def variables_by_name(model):
    """`{"stem_conv/kernel": variable, ...}` of every weight of a model."""
    return {
        f"{layer.name}/{variable.name}": variable
        for layer in model.layers
        for variable in layer.weights
    }


def assign(model, values, source):
    """Assigns `{"stem_conv/kernel": array, ...}` to the variables of the same name, all
    or, where a name is missing or left over or a shape differs, nothing. A variable
    whose value is `None` stays as it is; messages call the arrays' origin `source`."""
    variables = variables_by_name(model)
    problems = []
    for name, variable in variables.items():
        wanted = tuple(variable.shape)
        if name not in values:
            problems.append(f"{name} {wanted} is not in the file")
        elif values[name] is not None and values[name].shape != wanted:
            problems.append(
                f"{name} is {wanted} in the model and {values[name].shape} in the file"
            )
    for name, value in values.items():
        if name not in variables and not name.startswith(_OPTIONAL):
            # A name may hold anything, a line break too.
            name = " ".join(name.split())
            problems.append(f"the file's {name} {value.shape} has no place")
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise InputError(
            f"The weights are not those of {model.name}: {'; '.join(problems[:3])}"
            f"{more}. Received: {source!r}"
        )
    for name, variable in variables.items():
        if values[name] is not None:
            variable.assign(values[name])
