"""The report of a training run."""

import numpy as np

from keras_effnet.report import charts
from keras_effnet.report import page
from keras_effnet.report.text import cell

_COLUMNS = 6


def render(recipe, history, evaluation, class_names, worst, counts):
    """The page of one run, HTML as text.

    `history` holds a dict for each epoch; `worst` `(image, index)` of the most
    confident mistakes, images 0-255; `counts` the numbers of training and validation
    images.
    """
    low, high = evaluation.interval
    curves = {key: [row[key] for row in history] for key in history[0]}
    parts = [
        page.paragraph(
            f"{recipe.model}, recipe {recipe.name}, {len(history)} epochs on "
            f"{counts[0]:,} images. Of {counts[1]:,} held-out images "
            f"{evaluation.top1:.1%} are named rightly (95 % interval {low:.1%} to "
            f"{high:.1%})."
        ),
        page.heading("Training"),
        page.image(charts.training_curves(curves), "Loss and accuracy over the epochs"),
        page.heading("Which classes are taken for which"),
        page.image(
            charts.confusion_matrix(evaluation.confusion, class_names),
            "The confusion matrix: the true class down, the predicted one across",
        ),
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
        ),
    ]
    if worst:
        images, indices = zip(*worst, strict=True)
        indices = list(indices)
        parts += [
            page.heading("The worst mistakes"),
            page.paragraph("Wrong with the most confidence first."),
            page.image(
                charts.prediction_grid(
                    np.stack(images),
                    evaluation.labels[indices],
                    evaluation.predictions[indices],
                    class_names,
                    columns=_COLUMNS,
                ),
                "Wrongly named images, each with the predicted and the true class",
            ),
        ]
    title = f"{recipe.model} on {len(class_names)} classes"
    return page.render(title, parts)
