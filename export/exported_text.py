"""What was exported, as text."""

from keras_effnet.report.text import or_dash
from keras_effnet.report.text import tabulate


def table(exported):
    """Sizes, operators, what was lost and how fast each file is.

    Args:
        exported: A list of `ExportedFile`.

    Returns:
        Lines of text, as one string; the last ones say what keeps a graph from being
        lean.
    """

    def of(part, name, pattern):
        return lambda file: or_dash(
            getattr(getattr(file.sheet, part), name, None), pattern
        )

    columns = {
        "file": lambda file: str(file.path),
        "MB": lambda file: f"{file.sheet.bytes / 1e6:.1f}",
        "operators": lambda file: str(sum(file.sheet.operators.values())),
        "in float": lambda file: str(sum(file.sheet.float_operators.values())),
        "top-1": of("evaluation", "top1", "{:.1%}"),
        "drop": of("evaluation", "drop", "{:.1f}"),
        "agrees": of("evaluation", "agreement", "{:.1%}"),
        "ms": of("latency", "median_ms", "{:.1f}"),
    }
    known = {
        heading: cell
        for heading, cell in columns.items()
        if any(cell(file) != "-" for file in exported)
    }
    waste = [
        f"{file.path.name}: {', '.join(file.sheet.waste)}"
        for file in exported
        if file.sheet.waste
    ]
    return "\n".join([tabulate(exported, known, left=(0,)), *waste])
