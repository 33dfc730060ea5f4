"""The blocks of a model, found by the names of its layers."""

import dataclasses
import re

_LAYER = re.compile(
    r"(?P<block>block\d+[a-z]+)_"
    r"(?P<part>(?:expand|project)_(?:conv|bn)|dwconv2?|bn|se_reduce|se_expand)"
)


@dataclasses.dataclass(frozen=True)
class Block:
    """One MBConv or Fused-MBConv, `"block2a"`.

    `layers` has the names of the layers that have weights, by their part:
    `"expand_conv"`, `"expand_bn"`, `"dwconv"` (V2's `dwconv2` too), `"bn"`,
    `"se_reduce"`, `"se_expand"`, `"project_conv"`, `"project_bn"`. Only the parts that
    the block has.
    """

    name: str
    layers: dict[str, str]

    def layer(self, part):
        """The name of a part's layer, as it would be where the block has none."""
        return self.layers.get(part, f"{self.name}_{part}")


def blocks(model):
    """A list of the `Block`s of a model, in the order they were built."""
    found = {}
    for layer in model.layers:
        match = _LAYER.fullmatch(layer.name)
        if match:
            part = match["part"].removesuffix("2")
            found.setdefault(match["block"], {})[part] = layer.name
    return [Block(name, layers) for name, layers in found.items()]
