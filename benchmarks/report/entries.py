"""Results as the report orders them: by target, numbered, with what each costs."""

import dataclasses
import pathlib

from keras_effnet.report import canvas


@dataclasses.dataclass(frozen=True)
class Group:
    """Results that may stand in one picture: one target, device, harness and runtime.

    `cpu` is the processor's name, or its architecture where it has none. `emulated`:
    its times mean nothing, and instructions are counted."""

    target: str
    cpu: str
    harness: str
    runtime: str
    results: tuple
    emulated: bool

    @property
    def title(self):
        return f"{self.target}: {self.cpu}"

    @property
    def cost_label(self):
        """What `cost` is, for the axis of a picture."""
        if self.emulated:
            return "instructions of one inference, emulated (millions)"
        return "latency, median of one inference (ms)"

    def settings(self):
        """Threads and delegates that occur, in order."""
        return list(dict.fromkeys(map(setting, self.results)))

    def label(self, result):
        """A result's name; its threads and its source where that alone is not one."""
        text = self.names()[file_key(result)]
        if len(self.settings()) > 1:
            text += f", {setting(result)}"
        place = file_key(result), setting(result)
        if sum((file_key(r), setting(r)) == place for r in self.results) > 1:
            text += f" ({pathlib.Path(result['source']).name})"
        return text

    def names(self):
        """Each file's name, with the start of its checksum where two share one."""
        files = {file_key(r): r["name"] for r in self.results}
        names = list(files.values())
        return {
            key: f"{name} ({key[1][:6]})" if names.count(name) > 1 else name
            for key, name in files.items()
        }

    def numbers(self):
        """A number for each file, from 1 up."""
        files = dict.fromkeys(map(file_key, self.results))
        return {key: number for number, key in enumerate(files, 1)}

    def number(self, result):
        """That of a result's file."""
        return self.numbers()[file_key(result)]

    @property
    def few(self):
        """Whether colours tell the results apart, and nothing needs a number."""
        return len(self.results) <= len(canvas.SERIES)

    def numbered(self, result, name):
        """A name after the number of its file, where files have one."""
        return name if self.few else f"{self.number(result)}: {name}"

    def cost(self, result):
        """Median milliseconds, or millions of instructions; `None` if not counted."""
        if not self.emulated:
            return result["latency_metrics"]["median_ms"]
        count = result["instructions"]
        return None if count is None else count / 1e6


def grouped(results):
    """`Group`s of results that may stand in one picture, in the order in which their
    first results came."""
    parts = {}
    for result in results:
        parts.setdefault(_key(result), []).append(result)
    return [
        Group(*key[:4], results=tuple(part), emulated=emulated(part[0]))
        for key, part in parts.items()
    ]


def _key(result):
    device, runtime = result["device"], result["runtime"]
    cpu = device.get("cpu") or device.get("machine") or "unknown processor"
    harness = f"{result['harness']['name']} {result['harness']['version']}"
    running = " ".join(filter(None, map(runtime.get, ("name", "version"))))
    kind = device.get("machine"), device.get("cores"), emulated(result)
    return result["target"], str(cpu), harness, running, *kind


def emulated(result):
    """Whether a result's times mean nothing, and its instructions were counted."""
    return bool(result["device"].get("emulated")) or result["instructions"] is not None


def file_key(result):
    """What tells files apart: `(name, sha256)`."""
    return result["name"], result["model"]["sha256"]


def setting(result):
    """Threads and delegate, in words."""
    threads = result["options"]["threads"]
    text = "1 thread" if threads == 1 else f"{threads} threads"
    delegate = result["options"].get("delegate")
    return text if delegate == "xnnpack" else f"{text}, {delegate or 'no delegate'}"


def measure_of_accuracy(results):
    """`"top1"`, else `"agreement_with_float"`, else `None`, as one of them has it."""
    for measure in ("top1", "agreement_with_float"):
        if any(accuracy(result, measure) is not None for result in results):
            return measure
    return None


def accuracy(result, measure):
    """A share of the images, or `None` where it was not measured."""
    return (result.get("accuracy") or {}).get(measure)


def peak_mebibytes(result):
    """What the file added to its process at most, `None` where it is not known."""
    kilobytes = result["memory_metrics"]["peak_footprint_kb"]
    return None if kilobytes is None else kilobytes / 1024
