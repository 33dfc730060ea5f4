"""Columns of text, as several commands print them."""


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
    rows = [[cell(item) for cell in columns.values()] for item in items]
    return format_table([list(columns), *rows], left)


def or_dash(value, pattern):
    """A value as a pattern has it, `"{:.1%}"`; a dash for one that is not known."""
    return "-" if value is None else pattern.format(value)


def giga(number):
    """Billions with the three decimals that the papers' figures can bear."""
    return f"{number / 1e9:.3f}"
