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


def giga(number):
    """Billions with the three decimals that the papers' figures can bear."""
    return f"{number / 1e9:.3f}"
