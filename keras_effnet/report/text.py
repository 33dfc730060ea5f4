"""Numbers and tables as text, for terminals and pages."""

import math


def format_table(rows, left=()):
    """Aligns cells in columns.

    Args:
        rows: Rows of strings, the heading first.
        left: Indices of the columns that stand to the left; numbers, which
            are compared digit by digit, stand to the right.

    Returns:
        The lines, as one string.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def tabulate(items, columns, left=()):
    """A table with a row for each item.

    Args:
        items: What the table is of.
        columns: `{heading: function of an item}`, each gives a cell's text.
        left: As for `format_table`.

    Returns:
        The lines, as one string.
    """
    return format_table(cells(items, columns), left)


def cells(items, columns):
    """The rows of a table, items and columns as for `tabulate`; the heading first."""
    rows = [[tell(item) for tell in columns.values()] for item in items]
    return [list(columns), *rows]


def known(rows):
    """Rows without the columns in which nothing but dashes stands."""
    columns = zip(*rows, strict=True)
    told = [column for column in columns if not set(column[1:]) <= {"–", "-"}]
    return [list(row) for row in zip(*told, strict=True)]


def giga(number):
    """Billions with the three decimals that the papers' figures can bear."""
    return f"{number / 1e9:.3f}"


def cell(value, spec, missing="–"):
    """A number in a table, a dash where it is `None` or not finite."""
    known = value is not None and math.isfinite(value)
    return format(value, spec) if known else missing


def significant(value, digits=4, missing="–"):
    """A number in so many significant digits, and never an exponent."""
    if value is None:
        return missing
    if value <= 0:
        return f"{value:g}"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(value)))}f}"


def signed(value):
    """A number with two decimals and a minus as wide as a plus."""
    return f"{value:.2f}".replace("-", "−")


def plain(value):
    """A dict or a list as a line of text; what is `None` is left out."""
    if isinstance(value, dict):
        known = {key: plain(v) for key, v in value.items() if v is not None}
        return "; ".join(f"{key.replace('_', ' ')}: {v}" for key, v in known.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
