"""What a place where files are measured can do."""

import abc
import os
from typing import Any
from typing import Self

import numpy as np

from keras_effnet.errors import InputError

# Of a `request`: one run that nothing warms up.
ONCE = {"min_runs": 1, "min_seconds": 0, "warmup_runs": 0, "warmup_seconds": 0}
UNKNOWN_MEMORY = dict.fromkeys(
    ("init_footprint_kb", "overall_footprint_kb", "peak_footprint_kb", "peak_mem_mb")
)
UNKNOWN_OPERATORS = {"partitions": None, "undelegated": None}


class TargetLost(InputError):
    """A target that was there went away in mid-run."""


class Target(abc.ABC):
    """Runs .tflite files somewhere; a context manager that leaves nothing there.

    Attributes:
        name: As results give it, `"adb:serial"`.
        most_rounds: How many processes a measurement takes at most, or `None`.
        most_threads: Of the interpreter, or `None`.
        profiles: Whether it has `profile`.
    """

    name: str
    most_rounds: int | None = None
    most_threads: int | None = None
    profiles = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abc.abstractmethod
    def close(self) -> None:
        """Ends what runs there, and removes what was put there."""

    def check(self, path: str | os.PathLike) -> object:
        """Raises an `InputError` where a file can't be run, without running it."""
        return None

    @abc.abstractmethod
    def measure(
        self, path: str | os.PathLike, request: dict[str, Any]
    ) -> dict[str, Any]:
        """Runs a file again and again, in a process of its own.

        Args:
            path: The .tflite file here.
            request: `threads`, `xnnpack`, `min_runs`, `min_seconds`,
                `warmup_runs`, `warmup_seconds` and `max_seconds`; on this machine
                also `weight_cache`.

        Returns:
            A dict as `workers/latency.py` prints it, in which `device` may tell more.

        Raises:
            InputError: The file can't be run there.
            TargetLost: The target went away.
        """

    @abc.abstractmethod
    def answers(self, path: str | os.PathLike, inputs: np.ndarray) -> np.ndarray:
        """What a file answers to each of several inputs.

        Args:
            path: The .tflite file here.
            inputs: An array `(n, height, width, channels)` of the input's dtype.

        Returns:
            An array `(n, classes)` of the output's dtype.
        """

    def profile(
        self, path: str | os.PathLike, request: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Which operators the time of a run goes to.

        Args:
            path: The .tflite file here.
            request: As `measure` takes it.

        Returns:
            A list of dicts `operator`, `ms` and `count`, both of one run, the longest
            first.
        """
        raise NotImplementedError
