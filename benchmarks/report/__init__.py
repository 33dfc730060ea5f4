"""Results as one HTML page and a CSV file."""

import os
import pathlib
from collections.abc import Sequence

from keras_effnet import files
from keras_effnet.benchmarks import results_file
from keras_effnet.benchmarks.report import accuracies
from keras_effnet.benchmarks.report import results_page
from keras_effnet.benchmarks.report import results_table
from keras_effnet.errors import InputError


def write(
    results: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    *,
    accuracy: Sequence[str | os.PathLike] = (),
    against: str | os.PathLike | None = None,
) -> tuple[pathlib.Path, pathlib.Path]:
    """Draws result files as a page, with a CSV file beside it.

    Args:
        results: Paths of result files and of folders of them.
        output: Of the page, a path that ends in .html; the table goes beside it, to
            the same name with .csv.
        accuracy: Paths of JSON files with accuracies; see `accuracies.read`.
        against: Path of a result file or a folder of them to compare with.

    Returns:
        The paths of the page and of the table.

    Raises:
        InputError: A file can't be read or is damaged, or the output can't be written.
    """
    output = pathlib.Path(output)
    if output.suffix.lower() not in (".html", ".htm"):
        raise InputError(
            f"The page's name must end in .html. Received: {str(output)!r}"
        )
    found = results_file.read_all(results)
    if accuracy:
        found = accuracies.attach(found, accuracies.read(accuracy))
    others = None if against is None else results_file.read_all([against])
    path = output.with_suffix(".csv")
    # Both or neither: a page beside an older table would mislead.
    with files.replacing(path) as csv, files.replacing(output) as html:
        csv.write_text(results_table.to_csv(found), encoding="utf-8")
        html.write_text(results_page.build(found, others), encoding="utf-8")
    return output, path
