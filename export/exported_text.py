"""What was exported, as text."""

from collections.abc import Callable
from collections.abc import Sequence

from keras_effnet.export.publishing import ExportedFile
from keras_effnet.report.text import cell
from keras_effnet.report.text import cells
from keras_effnet.report.text import format_table
from keras_effnet.report.text import known


def table(exported: Sequence[ExportedFile]) -> str:
    """Sizes, operators, what was lost and how fast each file is.

    Args:
        exported: A list of `ExportedFile`.

    Returns:
        Lines of text, as one string; the last ones say what keeps a graph from being
        lean, which files runtimes of apps refuse, and which limits are in doubt.
    """

    def of(part: str, name: str, spec: str) -> Callable[[ExportedFile], str]:
        return lambda file: cell(
            getattr(getattr(file.sheet, part), name, None), spec, "-"
        )

    columns = {
        "file": lambda file: str(file.path),
        "MB": lambda file: f"{file.sheet.bytes / 1e6:.1f}",
        "operators": lambda file: str(sum(file.sheet.operators.values())),
        "in float": lambda file: str(sum(file.sheet.float_operators.values())),
        "top-1": of("evaluation", "top1", ".1%"),
        "drop": of("evaluation", "drop", ".1f"),
        "agrees": of("evaluation", "agreement", ".1%"),
        "ms": of("latency", "median_ms", ".1f"),
    }
    waste = [
        f"{file.path.name}: {', '.join(file.sheet.waste)}"
        for file in exported
        if file.sheet.waste
    ]
    refused = [
        f"{file.path.name}: int8 input, which MediaPipe, the Task Library and the "
        "browser target refuse; `--input-type uint8` is for them, samples take either"
        for file in exported
        if file.sheet.input and file.sheet.input.dtype == "int8"
    ]
    open_ones = [
        f"{file.path.name}: within the limit, but the drop's 95 % interval, "
        f"{found.drop_interval[0]:.1f} to {found.drop_interval[1]:.1f} points, reaches "
        "over it: more images would tell"
        for file in exported
        if file.sheet.verdict == "within limit"
        and (found := file.sheet.evaluation)
        and found.drop_interval
        and found.drop_interval[1] > (file.sheet.max_drop or 0)
    ]
    lines = [format_table(known(cells(exported, columns)), left=(0,)), *waste]
    return "\n".join([*lines, *refused, *open_ones])
