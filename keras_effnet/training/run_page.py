"""The report of a training run."""

from keras_effnet.report import charts
from keras_effnet.report import page
from keras_effnet.report.text import cell

# More classes than this would have cells too small for names and counts.
_NAMED = 40
_NEXT = """keras-effnet predict PHOTO.jpg --model model.keras
keras-effnet evaluate model.keras LABELLED/
keras-effnet export model.keras --precision int8 --calibrate PHOTOS/ \
--evaluate LABELLED/"""


def render(recipe, history, evaluation, class_names, worst, counts):
    """The page of one run, HTML as text.

    `history` holds a dict for each epoch; `worst` `(image, index, key)` of the most
    confident mistakes, images 0-255; `counts` the numbers of training and validation
    images.
    """
    low, high = evaluation.interval
    curves = {key: [row[key] for row in history] for key in history[0]}
    shares = curves["val_accuracy"]
    best = 1 + shares.index(max(shares))
    kept = f"epoch {best}, the best on held-out images"
    if not recipe.early_stopping:
        kept = "the last epoch, whichever was best on held-out images"
    chance = ""
    if low <= 1 / len(class_names):
        chance = (
            f" That is no better than chance, 1 in {len(class_names)}: train longer."
        )
    parts = [
        page.paragraph(
            f"{recipe.model}, recipe {recipe.name}, {len(history)} epochs on "
            f"{counts[0]:,} images. Of {counts[1]:,} held-out images "
            f"{evaluation.top1:.1%} are named rightly (95 % interval {low:.1%} to "
            f"{high:.1%}).{chance} model.keras holds what was learned up to {kept}."
        ),
        page.heading("Training"),
        page.image(
            charts.training_curves(curves, best), "Loss and accuracy over the epochs"
        ),
        page.heading("Which classes are taken for which"),
        page.paragraph("Rows: what an image is. Columns: what the network says."),
        _confusion(evaluation.confusion, class_names),
        page.heading("Each class"),
        page.table(
            ("class", "images", "found (recall)", "right when named (precision)"),
            [
                (
                    row["class"],
                    row["images"],
                    cell(row["recall"], ".1%"),
                    cell(row["precision"], ".1%"),
                )
                for row in evaluation.per_class(class_names)
            ],
            "wraps",
        ),
    ]
    if worst:
        said, shares = evaluation.predictions, evaluation.probabilities.max(axis=1)
        parts += [
            page.heading("The worst mistakes"),
            page.paragraph("Wrong with the most confidence first."),
            page.thumbnails(
                (
                    image,
                    f"says {class_names[said[n]]} ({shares[n]:.0%}),\n"
                    f"is {class_names[evaluation.labels[n]]}",
                    False,
                    key,
                )
                for image, n, key in worst
            ),
        ]
    parts += [
        page.heading("What next"),
        page.paragraph(
            "In the folder of this page. PHOTOS/: like those of later use; LABELLED/ "
            "has one folder per class, and may be the one trained on: only what was "
            "held out judges."
        ),
        page.code(_NEXT),
    ]
    title = f"{recipe.model} on {len(class_names)} classes"
    return page.render(title, parts)


def _confusion(counts, class_names):
    if len(class_names) <= _NAMED:
        return page.matrix(counts, class_names)
    described = "The true class down, the predicted one across"
    return page.image(charts.confusion_matrix(counts), described)
