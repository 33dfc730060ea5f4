"""How many instructions our int8 files take on an ARM core, against stock conversions.

    python benchmarks/studies/peers/arm_instructions.py

EfficientNet-B0 and EfficientNetV2-B0 at 64 pixels, in int8: files of `export` against
files that TensorFlow's converter makes of keras.applications' network, traced at batch
1, with the same weights and calibrated on the same images. Once with ImageNet's mean
and standard deviation in both networks, once with neither. First the networks' outputs
are held against each other: only one and the same function is worth counting.

Each file is run in two processes of QEMU's Cortex-A76, with LiteRT's XNNPACK kernels
for it; no clock is read, so other programs do not matter. Writes
results/arm_instructions.json. KERAS_EFFNET_SHARED names the folder of photographs and
of V2-B0's weights, `../shared` by default; without it the images are made up and the
weights random.
"""

import pathlib
import tempfile

import numpy as np

from keras_effnet.benchmarks.studies import comparison
from keras_effnet.benchmarks.studies.peers._calibration import calibration_images
from keras_effnet.benchmarks.targets.emulated import Emulated
from keras_effnet.errors import InputError
from keras_effnet.preprocessing import NORMALIZATIONS
from keras_effnet.quiet import import_keras

NETWORKS = ("EfficientNetB0", "EfficientNetV2B0")
# The largest ratio that was hoped for, by what both networks hold.
TARGETS = {"mean/std": 0.97, "none": 1.002}
LARGEST_SPREAD = 1e-4
CPU, IMAGE_SIZE, CALIBRATION_IMAGES, PROCESSES = "cortex-a76", 64, 100, 2
OURS, STOCK = "keras_effnet", "keras.applications"
_COMPARED = 8
_REQUEST = {"threads": 1, "xnnpack": True, "max_seconds": 600}


def without_normalisation(model):
    """A network of keras.applications with the same weights that takes images
    normalised already: its Rescaling and Normalization layers do nothing, and the
    converter leaves such layers out."""
    import keras

    from keras_effnet.benchmarks.studies.peers import _stock

    def clone(layer):
        if isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
            return keras.layers.Activation("linear", name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    found = keras.models.clone_model(model, clone_function=clone)
    return _stock.with_weights_of(model, found)


def bare(model, network):
    """A network of this package that takes images normalised already."""
    import keras_effnet
    from keras_effnet.benchmarks.studies.peers import _stock

    found = keras_effnet.build_model(
        network, input_shape=model.input_shape[1:], include_preprocessing=False
    )
    return _stock.with_weights_of(model, found)


def check(ours, stock, images):
    """The largest difference of two networks' log probabilities, over the largest;
    raises unless they compute the same."""
    found, expected = (
        np.log(np.maximum(model.predict(images, verbose=0), 1e-30))
        for model in (stock, ours)
    )
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not difference <= 1e-4:
        raise InputError(
            "The networks' outputs may differ by 0.0001 of the largest. "
            f"Received: {difference:.1e}"
        )
    return difference


def write_files(ours, stock, images, folder):
    """Converts both to int8, calibrated on images; a dict of sides and paths."""
    from keras_effnet.benchmarks.studies.peers import _stock
    from keras_effnet.export import export

    folder.mkdir(parents=True, exist_ok=True)
    (file,) = export(ours, folder, ("int8",), lambda: (image[None] for image in images))
    path = folder / "stock_int8.tflite"
    _stock.write(path, stock, "int8", images)
    return {OURS: file.path, STOCK: path}


def count(core, files, target):
    """Counts the instructions of an inference of each file."""
    counts = {
        side: [
            core.measure(str(path), _REQUEST)["instructions"] for _ in range(PROCESSES)
        ]
        for side, path in files.items()
    }
    ours, theirs = (min(values) for values in counts.values())
    spread = max(max(values) / min(values) - 1 for values in counts.values())
    return {
        "instructions": counts,
        "ratio": ours / theirs,
        "target_ratio": target,
        "largest_spread_of_processes": spread,
        "target_spread": LARGEST_SPREAD,
        "files": {side: _facts(path) for side, path in files.items()},
    }


def _facts(path):
    from keras_effnet.tflite import TFLiteModel

    operators = TFLiteModel(path).interpreter._get_ops_details()
    partitions = sum(operator["op_name"] == "DELEGATE" for operator in operators)
    return {**comparison.file_facts(path), "partitions": partitions}


def compare(core, network, folder):
    """Both comparisons of a network, a row each."""
    from keras_effnet.benchmarks.studies.peers import _latency_files
    from keras_effnet.benchmarks.studies.peers import _stock

    images, source = calibration_images(network, CALIBRATION_IMAGES, IMAGE_SIZE)
    model, weights = _latency_files.build(network, images)
    other = _stock.counterpart(model, network)
    mean, std = NORMALIZATIONS["imagenet"]
    normalised = ((images - mean) / std).astype("float32")
    for normalisation, sides, data in (
        ("mean/std", (model, other), images),
        ("none", (bare(model, network), without_normalisation(other)), normalised),
    ):
        difference = check(*sides, data[:_COMPARED])
        place = folder / f"{network}_{normalisation.replace('/', '_')}"
        files = write_files(*sides, data, place)
        yield {
            "network": network,
            "normalisation": normalisation,
            "image_size": IMAGE_SIZE,
            "weights": weights,
            "calibration": source,
            "float_difference": difference,
            **count(core, files, TARGETS[normalisation]),
        }


def show(row):
    """A line of counts and whether the targets are met."""
    ours, theirs = (min(values) / 1e6 for values in row["instructions"].values())
    verdict = comparison.verdict(row["ratio"], row["target_ratio"])
    spread = row["largest_spread_of_processes"]
    repeats = "repeats" if spread <= row["target_spread"] else "DOES NOT REPEAT"
    print(
        f"{row['network']}, normalisation {row['normalisation']}: {ours:.3f} M, "
        f"{STOCK} {theirs:.3f} M, ratio {row['ratio']:.4f}, {verdict}; "
        f"{repeats} within {spread:.1e}"
    )


def measure(args):
    rows = []
    with Emulated(CPU) as core, tempfile.TemporaryDirectory() as temporary:
        import_keras()
        for network in args.network:
            for row in compare(core, network, args.keep or pathlib.Path(temporary)):
                show(row)
                rows.append(row)
        yield {"target": core.name, "emulator": core.emulator, "rows": rows}


main = comparison.study(measure, networks=NETWORKS, more=comparison.KEEP)
