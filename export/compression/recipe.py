"""How a model is trained while it is compressed."""

import dataclasses

from keras_effnet.errors import check_number


@dataclasses.dataclass(frozen=True)
class CompressionRecipe:
    """A short training: Adam, its learning rate taken to zero by a cosine.

    The learning rate counts in steps of 8 bits of each output channel, divided by the
    root of the number of its weights, so that one fits all layers and networks.

    Batch normalisation uses its kept statistics from the first step, folded into the
    kernels (Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient
    inference", section 3.2.2); dropout is off; ranges of activations move with the
    learning rate.

    Attributes:
        steps: How many.
        batch_size: Images of each, drawn, flipped and cropped.
        learning_rate: At the first step.
        distillation: The share of the float model's answers in the loss, 0 to 1;
            the rest are labels (Hinton et al. 2015).
        temperature: By which the logits of both are divided in that share, from 1;
            a higher one asks for likeness in the unlikely classes too.
        seed: Of everything that is drawn.
    """

    steps: int = 200
    batch_size: int = 16
    learning_rate: float = 0.1
    distillation: float = 1.0
    temperature: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            check_number(name, getattr(self, name), *check)

    def as_json(self) -> dict:
        """A dict of plain values."""
        return dataclasses.asdict(self)


_COUNT = "a whole number from 1", lambda value: 1 <= value < 2**31, True
SEED = "a whole number from 0 below 2**31", lambda value: 0 <= value < 2**31
_SHARE = "a number from 0, labels alone, to 1, the float model alone"
_CHECKS: dict[str, tuple] = {
    "steps": _COUNT,
    "batch_size": _COUNT,
    "seed": (*SEED, True),
    "learning_rate": ("a number above 0, up to 100", lambda value: 0 < value <= 100),
    "temperature": ("a number from 1 to 100", lambda value: 1 <= value <= 100),
    "distillation": (_SHARE, lambda value: 0 <= value <= 1),
}
