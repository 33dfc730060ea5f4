"""Numbers and tables as text, for terminals and pages."""

import math
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

# Heading -> what an item's cell says.
Columns = dict[str, Callable[[Any], str]]


def printable(text: str) -> str:
    """A name as data: � for what would steer a terminal, or has no glyph."""
    return "".join(
        c if c.isprintable() else "\n" if c == "\n" else " " if c.isspace() else "�"
        for c in text
    )


def format_table(rows: Sequence[Sequence[str]], left: Collection[int] = ()) -> str:
    """Aligns cells in columns, the heading in the first row.

    Columns whose indices are in `left` stand to the left; numbers, which are compared
    digit by digit, stand to the right.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def tabulate(items: Iterable, columns: Columns, left: Collection[int] = ()) -> str:
    """A table with a row for each item, aligned as `format_table` does."""
    return format_table(cells(items, columns), left)


def cells(items: Iterable, columns: Columns) -> list[list[str]]:
    """The rows of a table, the heading first."""
    rows = [[tell(item) for tell in columns.values()] for item in items]
    return [list(columns), *rows]


def known(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows without the columns in which nothing but dashes stands."""
    columns = zip(*rows, strict=True)
    told = [column for column in columns if not set(column[1:]) <= {"–", "-"}]
    return [list(row) for row in zip(*told, strict=True)]


def giga(number: float) -> str:
    """Billions with the three decimals that the papers' figures can bear."""
    return f"{number / 1e9:.3f}"


def cell(value: float | None, spec: str, missing: str = "–") -> str:
    """A number in a table, a dash where it is `None` or not finite."""
    known = value is not None and math.isfinite(value)
    return format(value, spec) if known else missing


def significant(value: float | None, digits: int = 4, missing: str = "–") -> str:
    """A number in so many significant digits, and never an exponent."""
    if value is None:
        return missing
    if value <= 0:
        return f"{value:g}"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(value)))}f}"


def signed(value: float) -> str:
    """A number with two decimals and a minus as wide as a plus."""
    return f"{value:.2f}".replace("-", "−")


def plain(value: object) -> str:
    """A dict or a list as a line of text; what is `None` or empty is left out."""
    if isinstance(value, dict):
        known = {k: plain(v) for k, v in value.items() if v not in (None, (), [])}
        return "; ".join(f"{key.replace('_', ' ')}: {v}" for key, v in known.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
