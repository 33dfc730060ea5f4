"""The pictures of the reports, as matplotlib figures without global state."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.ticker import PercentFormatter

_BLUE, _ORANGE, _GREEN, _RED = "#0969da", "#bc4c00", "#1a7f37", "#cf222e"


def training_curves(history):
    """Loss and accuracy over the epochs.

    Args:
        history: The `history` of `keras.Model.fit`, with `loss`, `accuracy`
            and, where there was validation, `val_loss`, `val_accuracy`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, key in zip(axes, ("loss", "accuracy"), strict=True):
        for prefix, label, color in (
            ("", "training", _BLUE),
            ("val_", "validation", _ORANGE),
        ):
            if values := history.get(prefix + key):
                epochs = range(1, len(values) + 1)
                axis.plot(epochs, values, color=color, label=label, marker=".")
        axis.set(xlabel="epoch", title=key.capitalize())
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    axes[0].set_yscale("log")
    axes[1].yaxis.set_major_formatter(PercentFormatter(1.0))
    axes[1].legend(loc="lower right")
    return figure


def confusion_matrix(counts, class_names):
    """How often each class was taken for each other.

    Args:
        counts: Int array, `(classes, classes)`, the true class down.
        class_names: Names in order.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    side = min(9, 2.5 + 0.45 * len(class_names))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    axis.set(xlabel="predicted", ylabel="true")
    if len(class_names) <= 30:
        ticks = range(len(class_names))
        axis.set_xticks(ticks, class_names, rotation=60, ha="right")
        axis.set_yticks(ticks, class_names)
        for row, column in zip(*counts.nonzero(), strict=True):
            axis.text(
                column,
                row,
                counts[row, column],
                ha="center",
                va="center",
                fontsize=8,
                color="white" if shares[row, column] > 0.5 else "black",
            )
    return figure


def prediction_grid(images, labels, predictions, class_names=None, columns=12):
    """Images with what was predicted; wrong ones in red with the truth.

    Args:
        images: `(count, height, width, channels)`, 0-255, 1 or 3 channels.
        labels: Int array, `(count,)`.
        predictions: Int array, `(count,)`.
        class_names: A list of names; the indices when `None`.
        columns: Images in a row.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    names = class_names or range(1 + max(labels.max(), predictions.max()))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(9, 1.02 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, pixels, label, guess in zip(
        axes, images.astype("uint8"), labels, predictions, strict=False
    ):
        axis.imshow(pixels.squeeze(), cmap="gray", vmin=0, vmax=255)
        right = label == guess
        text = f"{names[guess]}" if right else f"{names[guess]}, is {names[label]}"
        axis.set_title(text, fontsize=9, color=_GREEN if right else _RED, pad=2)
    return figure


def accuracy_against_latency(files):
    """Each file as a point: latency to the right, accuracy upwards.

    Args:
        files: A list of dicts with `name`, `median_ms`, `accuracy` (0 to 1),
            `interval` (its 95 % interval, two numbers) and `bytes`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axis = figure.subplots()
    for number, file in enumerate(files):
        low, high = file["interval"]
        spread = [[file["accuracy"] - low], [high - file["accuracy"]]]
        label = f"{file['name']}, {file['bytes'] / 1e6:.2f} MB"
        axis.errorbar(
            file["median_ms"],
            file["accuracy"],
            yerr=spread,
            fmt="o",
            markersize=9,
            capsize=4,
            color=f"C{number % 10}",
            label=label,
        )
    axis.set(
        xlabel="latency, median of one image on this host (ms)",
        ylabel="accuracy, with 95 % interval",
        xlim=(0, 1.25 * max(file["median_ms"] for file in files)),
    )
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    return figure
