"""What a place where files are measured can do."""

import abc

from keras_effnet.errors import InputError


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

    name = None
    most_rounds = None
    most_threads = None
    profiles = False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    @abc.abstractmethod
    def close(self):
        """Ends what runs there, and removes what was put there."""

    def check(self, path):
        """Finds out without running it whether a file can be run.

        Args:
            path: The .tflite file here.

        Raises:
            InputError: It can't.
        """
        return None

    @abc.abstractmethod
    def measure(self, path, request):
        """Runs a file again and again, in a process of its own.

        Args:
            path: The .tflite file here.
            request: A dict of `threads`, `xnnpack`, `min_runs`, `min_seconds`,
                `warmup_runs`, `warmup_seconds` and `max_seconds`; on this machine
                also `weight_cache`.

        Returns:
            A dict as `workers/latency.py` prints it, in which `device` may tell more.

        Raises:
            InputError: The file can't be run there.
            TargetLost: The target went away.
        """

    @abc.abstractmethod
    def answers(self, path, inputs):
        """What a file answers to each of several inputs.

        Args:
            path: The .tflite file here.
            inputs: An array `(n, height, width, channels)` of the input's dtype.

        Returns:
            An array `(n, classes)` of the output's dtype.

        Raises:
            InputError: The file can't be run there.
            TargetLost: The target went away.
        """

    def profile(self, path, request):
        """Which operators the time of a run goes to.

        Args:
            path: The .tflite file here.
            request: As `measure` takes it.

        Returns:
            A list of dicts `operator`, `ms` and `count`, both of one run, the longest
            first.

        Raises:
            InputError: The file can't be run there.
            TargetLost: The target went away.
        """
        raise NotImplementedError
