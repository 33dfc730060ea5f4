"""Accuracies from other files, put to the results of the same model files."""

from keras_effnet.benchmarks.results_file import read_json
from keras_effnet.errors import InputError
from keras_effnet.sheet import Sheet

_MEASURES = ("top1", "agreement")


def read(paths):
    """Reads accuracies from JSON files: those that `keras-effnet export --evaluate`
    writes beside its files, or lists of objects with `sha256` or `name` of a model
    file, `top1` or `agreement`, fractions, or both, and `images`.

    Gives `{sha256 or name: {"top1", "agreement_with_float", "images"}}`, of which what
    is not known is left out."""
    found = {}
    for path in paths:
        content = read_json(path)
        rows = content if isinstance(content, list) else [_sheet(content, path)]
        if not rows:
            raise InputError(
                "The file holds no accuracies: its list is empty. "
                f"Received: {str(path)!r}"
            )
        for row in rows:
            key, accuracy = _row(row, path)
            found[key] = accuracy
    return found


def attach(results, accuracies):
    """The results, with the accuracies of their files, as `read` returns them. A file's
    checksum goes ahead of its name, and what is given here ahead of what a result
    carries."""
    keys = {key for r in results for key in (r["name"], r["model"]["sha256"])}
    if accuracies and not keys & set(accuracies):
        names = ", ".join(sorted({repr(r["name"]) for r in results}))
        raise InputError(
            f"The accuracies are of none of the files that were measured, {names}. "
            f"Received: {', '.join(map(repr, accuracies))}"
        )
    known = []
    for result in results:
        accuracy = accuracies.get(result["model"]["sha256"])
        accuracy = accuracy or accuracies.get(result["name"], {})
        accuracy = (result.get("accuracy") or {}) | accuracy
        known.append(result | ({"accuracy": accuracy} if accuracy else {}))
    return known


def _sheet(content, path):
    """The row in the JSON file beside an exported file."""
    if isinstance(content, dict) and content.get("sha256"):
        sheet = Sheet.from_dict(content)
        if sheet.evaluation:
            return {"sha256": sheet.sha256, **sheet.evaluation.as_json()}
        raise InputError(
            "The exported file was not evaluated; export it with --evaluate PHOTOS. "
            f"Received: {str(path)!r}"
        )
    raise InputError(
        "Accuracies come from the .json file that `keras-effnet export --evaluate` "
        "writes beside a file, or from a list of objects with `sha256` or `name`, and "
        f"`top1` or `agreement`. Received: {str(path)!r}"
    )


def _row(row, path):
    row = row if isinstance(row, dict) else {}
    key = row.get("sha256") or row.get("name")
    values = {measure: row.get(measure) for measure in _MEASURES}
    known = [value for value in values.values() if value is not None]
    if not isinstance(key, str) or not known or not all(map(_share, known)):
        raise InputError(
            "An accuracy has `sha256` or `name`, and `top1` or `agreement` from 0 to "
            f"1. Received: {row!r:.200} in {str(path)!r}"
        )
    values = {
        "top1": values["top1"],
        "agreement_with_float": values["agreement"],
        "images": row.get("images"),
    }
    return key, {name: v for name, v in values.items() if v is not None}


def _share(value):
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and 0 <= value <= 1
