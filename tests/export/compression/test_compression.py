"""Models compressed through TF-MOT, and the files that they become."""

import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import peer
import pytest
import tensorflow as tf
import tflite_file
import tiny_classifier
from ai_edge_litert.interpreter import Interpreter
from scipy import special

import keras_effnet
from keras_effnet.errors import InputError
from keras_effnet.export import CompressionRecipe
from keras_effnet.export import cluster
from keras_effnet.export import export
from keras_effnet.export import prune
from keras_effnet.export import qat
from keras_effnet.export.compression import post_training
from keras_effnet.export.compression import twin
from keras_effnet.export.levers import objectives

LEGACY = {"tf_keras", "tensorflow_model_optimization"}
for _module in ("sklearn", *LEGACY):
    # Not imported: TF-MOT would change this process.
    if importlib.util.find_spec(_module) is None:
        pytest.skip(f"{_module} is not installed", allow_module_level=True)

WRAPPERS = {
    qat: "quantization.keras.quantize_wrapper.QuantizeWrapperV2",
    prune: "sparsity.keras.pruning_wrapper.PruneLowMagnitude",
    cluster: "clustering.keras.cluster_wrapper.ClusterWeights",
}
SHORT = CompressionRecipe(steps=4, batch_size=8)
HERE = pathlib.Path(__file__).parents[2]


def digits(count=64):
    """Photographs as a camera stores them: whole numbers."""
    images, _ = tiny_classifier.digits()
    return images[:count].astype("uint8")


@pytest.fixture(scope="module")
def classifier():
    """The trained classifier of digits, answering logits."""
    trained = tiny_classifier.trained()
    model = keras.models.clone_model(trained)
    model.set_weights(trained.get_weights())
    model.layers[-1].activation = keras.activations.linear
    return model


def assert_trained(result, technique, source):
    """What every result must be, whatever the technique."""
    figures = result.figures
    ((name, count),) = figures["wrappers"].items()
    assert name.startswith("tensorflow_model_optimization.python.core.")
    assert name.endswith(WRAPPERS[technique])
    assert count > 3
    assert figures["twin_difference"] <= 1e-5
    assert figures["back_difference"] <= 1e-5
    assert len(figures["history"]) == result.figures["recipe"]["steps"]
    assert np.isfinite(figures["history"]).all()
    json.dumps(figures)
    assert isinstance(result.model, keras.Model)

    def architecture(model):
        return [
            (type(layer), layer.name, [tuple(w.shape) for w in layer.weights])
            for layer in model.layers[1:]
        ]

    assert architecture(result.model) == architecture(source)


def kernels(model):
    """Of convolutions and dense layers but the first, which stays whole."""
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    found = [layer for layer in model.layers if type(layer) in kinds]
    return {layer.name: np.asarray(layer.kernel) for layer in found[1:]}


def shares_of_zeros(model):
    return {name: np.mean(kernel == 0) for name, kernel in kernels(model).items()}


def most_values(model):
    return max(np.unique(kernel).size for kernel in kernels(model).values())


def values_of_channels(model):
    """`{layer: [different values of each output channel]}`: TF-MOT's `keep` moves
    the values of each channel on their own, as the file has a scale for each."""
    return {
        name: [np.unique(kernel[..., i]).size for i in range(kernel.shape[-1])]
        for name, kernel in kernels(model).items()
    }


def assert_int8(path):
    """Every convolution reads, holds and writes int8, as LiteRT sees them."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    types = {d["index"]: d["dtype"] for d in interpreter.get_tensor_details()}
    found = [
        operator
        for operator in interpreter._get_ops_details()
        if operator["op_name"] in tflite_file.CONVOLUTIONS
    ]
    assert {operator["op_name"] for operator in found} == set(tflite_file.CONVOLUTIONS)
    for operator in found:
        image, kernel = operator["inputs"][:2]
        for index in (image, kernel, operator["outputs"][0]):
            assert types[index] == np.int8


# On whole networks.


def train_network(technique, name, **options):
    name, short = name.removesuffix("-short"), name.endswith("-short")
    build = getattr(keras_effnet, name)
    if short:
        spec = keras_effnet.scaled_spec(
            name, width=0.25, depth=0.25, image_size=33, name="short"
        )
        kinds = tuple(spec.stages[i] for i in (0, 1, 3))
        spec = dataclasses.replace(spec, stages=kinds)
        build = functools.partial(keras_effnet.build_model, spec)
    # At 32 the last maps are of one pixel, and the converter makes RESHAPE of them.
    model = build(input_shape=(33, 33, 3), classes=5, classifier_activation=None)
    pixels = np.round(peer.images(33, 33, batch=12))
    peer.randomize(model, pixels)
    recipe = CompressionRecipe(steps=2, batch_size=4)
    labels = np.arange(12) % 5
    result = technique(
        model, pixels.astype("uint8"), labels=labels, recipe=recipe, **options
    )
    assert_trained(result, technique, model)
    return model, result, pixels


def assert_becomes_int8(result, pixels, folder):
    (file,) = export(
        result.model, folder, "int8", lambda: [pixels], ranges=result.ranges
    )
    assert_int8(file.path)
    assert file.numbers["float_operators"] == {}
    return tflite_file.run(file.path, tflite_file.stored(pixels, "int8"))


FAMILIES = (
    "EfficientNetB0",
    "EfficientNetV2B0",
    "EfficientNetLite0",
    "EfficientNetEdgeTPUS",
)


def slow(name):
    return pytest.param(name, marks=pytest.mark.slow)


def matrix(*short):
    """Every family, which takes minutes; and one of a block of each kind. `make test`
    trains the classifier below."""
    return [*map(slow, (*short, *FAMILIES))]


@pytest.mark.parametrize("name", matrix("EfficientNetV2B0-short"))
def test_quantised_networks(name, tmp_path):
    _, result, pixels = train_network(qat, name)
    assert_becomes_int8(result, pixels, tmp_path)


@pytest.mark.parametrize("name", matrix("EfficientNetLite0-short"))
def test_pruned_networks(name, tmp_path):
    _, result, pixels = train_network(prune, name, sparsity=0.75)
    for share in shares_of_zeros(result.model).values():
        assert share == pytest.approx(0.75, abs=0.01)
    assert_becomes_int8(result, pixels, tmp_path)


@pytest.mark.parametrize("name", matrix("EfficientNetEdgeTPUS-short"))
def test_clustered_networks(name, tmp_path):
    _, result, pixels = train_network(cluster, name, clusters=8)
    assert most_values(result.model) <= 8
    assert_becomes_int8(result, pixels, tmp_path)


# On a classifier that is trained.


@pytest.fixture(scope="module")
def quantised(classifier):
    """`qat` of the classifier in a process that has not imported Keras 2 or TF-MOT."""
    with pytest.MonkeyPatch.context() as patch:
        for module in LEGACY:
            patch.delitem(sys.modules, module, raising=False)
        result = qat(classifier, digits(), recipe=SHORT)
        leaked = LEGACY & set(sys.modules)
    assert not leaked
    return result


def test_nothing_leaks_into_the_process(quantised, classifier):
    assert_trained(quantised, qat, classifier)
    assert tf.keras.__version__ == keras.__version__
    assert isinstance(quantised.model, tf.keras.Model)
    assert "TF_USE_LEGACY_KERAS" not in os.environ


def test_the_int8_file_agrees_with_the_training_graph(quantised, classifier, tmp_path):
    pixels = np.float32(digits(32))
    found = assert_becomes_int8(quantised, np.float32(digits()), tmp_path)[:32]
    near = np.abs(found - quantised.rounded).mean()
    for model in (classifier, quantised.model):
        assert near < 0.25 * np.abs(np.asarray(model(pixels)) - found).mean()
        far = np.abs(np.asarray(model(pixels)) - quantised.rounded).mean()
        assert near < 0.25 * far


@pytest.fixture(scope="module")
def pruned(classifier):
    return prune(classifier, digits(), recipe=SHORT, sparsity=0.5)


@pytest.fixture(scope="module")
def sparse_clustered(pruned):
    return cluster(pruned.model, digits(), recipe=SHORT, clusters=6, keep="sparsity")


def test_clustered(classifier):
    clustered = cluster(classifier, digits(), recipe=SHORT, clusters=6)
    assert_trained(clustered, cluster, classifier)
    assert most_values(clustered.model) <= 6


@pytest.mark.slow  # the command's network is pruned on every run
def test_pruned(pruned, classifier):
    assert_trained(pruned, prune, classifier)
    for share in shares_of_zeros(pruned.model).values():
        assert share == pytest.approx(0.5, abs=0.02)


@pytest.mark.slow
def test_prune_cluster_qat(pruned, sparse_clustered, tmp_path):
    assert_trained(sparse_clustered, cluster, pruned.model)
    assert most_values(sparse_clustered.model) <= 6
    assert min(shares_of_zeros(sparse_clustered.model).values()) >= 0.48
    both = qat(sparse_clustered.model, digits(), recipe=SHORT, keep="both")
    assert_trained(both, qat, pruned.model)
    for name, kernel in kernels(both.model).items():
        zeros = kernels(sparse_clustered.model)[name] == 0
        assert (kernel[zeros] == 0).all()
    assert max(map(max, values_of_channels(both.model).values())) <= 6
    assert_becomes_int8(both, np.float32(digits()), tmp_path)


@pytest.mark.slow
def test_prune_qat(pruned):
    result = qat(pruned.model, digits(), recipe=SHORT, keep="sparsity")
    assert_trained(result, qat, pruned.model)
    for name, kernel in kernels(result.model).items():
        zeros = kernels(pruned.model)[name] == 0
        assert (kernel[zeros] == 0).all()


@pytest.mark.slow
def test_cluster_qat(classifier):
    first = cluster(classifier, digits(), recipe=SHORT, clusters=5)
    assert_trained(first, cluster, classifier)
    result = qat(first.model, digits(), recipe=SHORT, keep="clusters")
    assert_trained(result, qat, classifier)
    before = values_of_channels(first.model)
    assert max(map(max, before.values())) <= 5
    for name, counts in values_of_channels(result.model).items():
        assert all(np.array(counts) <= before[name])


@pytest.mark.slow
def test_two_of_four(classifier):
    result = prune(classifier, digits(), recipe=SHORT, pattern="2:4")
    assert_trained(result, prune, classifier)
    for kernel in kernels(result.model).values():
        # Groups lie along the input channels: those that one output adds up.
        rows = np.moveaxis(kernel, -2, -1).reshape(-1, kernel.shape[-2])
        whole = rows[:, : rows.shape[1] // 4 * 4].reshape(-1, 4)
        assert ((whole == 0).sum(1) >= 2).all()


@pytest.mark.slow
def test_blocks(classifier):
    result = prune(classifier, digits(), recipe=SHORT, pattern="block", sparsity=0.5)
    assert_trained(result, prune, classifier)
    found = 0
    for name, kernel in kernels(result.model).items():
        if name != "dense" and kernel.shape[:2] != (1, 1):
            assert (kernel != 0).all()
            continue
        matrix = kernel.reshape(-1, kernel.shape[-1])
        blocks = matrix[:, : matrix.shape[1] // 4 * 4].reshape(-1, 4)
        zeros = (blocks == 0).sum(1)
        assert set(zeros) == {0, 4}
        if matrix.shape[1] % 4 == 0:  # else the last block of a row is shorter
            assert np.mean(zeros == 4) == pytest.approx(0.5, abs=0.02)
            found += 1
    assert found > 2


@pytest.mark.slow
def test_two_threads(quantised, pruned, classifier):
    """Each gets what it gets alone."""
    found = {}

    def work(technique):
        found[technique] = technique(classifier, digits(), recipe=SHORT)

    threads = [threading.Thread(target=work, args=(t,)) for t in (qat, prune)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for technique, alone in ((qat, quantised), (prune, pruned)):
        np.testing.assert_allclose(
            found[technique].figures["history"], alone.figures["history"], atol=1e-4
        )
        pixels = np.float32(digits(8))
        assert (
            peer.relative_error(found[technique].model(pixels), alone.model(pixels))
            < 1e-3
        )


# A worker that keeps a checkpoint after every step.
_HASTY = """
import sys
from keras_effnet.export.compression.tfmot import __main__, learning
learning._SECONDS_BETWEEN_CHECKPOINTS = -1
if __name__ == "__main__":
    __main__.main(sys.argv[1])
"""
_DRIVER = """
import sys
import keras, numpy as np
from keras_effnet.export import CompressionRecipe, prune
from keras_effnet.export.compression import compressing
compressing._WORKER = "hasty"
result = prune(
    keras.saving.load_model(sys.argv[1]), np.load(sys.argv[2]), folder=sys.argv[3],
    recipe=CompressionRecipe(steps=40, batch_size=8, seed=3),
    progress=lambda line: print(line.split()[1], flush=True),
)
np.save(sys.argv[4], result.figures["history"])
"""


def _start(folder, job):
    return subprocess.Popen(
        [
            *(sys.executable, "-c", _DRIVER, folder / "in.keras"),
            *(folder / "images.npy", folder / job, folder / f"{job}.npy"),
        ],
        env=os.environ | {"PYTHONPATH": str(folder), "TF_DETERMINISTIC_OPS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


def _children(pid):
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _runs(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1]
    except FileNotFoundError:
        return False
    return state.split()[0] != "Z"


@pytest.mark.slow
def test_killed_it_goes_on(classifier, tmp_path):
    classifier.save(tmp_path / "in.keras")
    np.save(tmp_path / "images.npy", digits())
    (tmp_path / "hasty.py").write_text(_HASTY)
    whole = _start(tmp_path, "whole")
    steps, _ = whole.communicate()
    assert whole.returncode == 0
    assert [int(step) for step in steps.split()] == list(range(1, 41))
    killed = _start(tmp_path, "killed")
    while int(killed.stdout.readline()) < 15:
        pass
    workers = _children(killed.pid)
    assert len(workers) == 1
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    deadline = time.monotonic() + 30
    while _runs(workers[0]):
        assert time.monotonic() < deadline, "the worker outlives who began it"
        time.sleep(0.05)
    assert not (tmp_path / "killed" / "result.json").exists()
    again = _start(tmp_path, "killed")
    steps, _ = again.communicate()
    assert again.returncode == 0
    first = int(steps.split()[0])
    assert 15 <= first < 40  # not from the beginning
    expected, found = (np.load(tmp_path / f"{n}.npy") for n in ("whole", "killed"))
    np.testing.assert_allclose(found, expected, atol=1e-4)


# What goes wrong in the process of its own.

_KILLED = "import os; os.kill(os.getpid(), 9)"
_DIVERGED = """
import sys
from keras_effnet.export.compression.tfmot import __main__, learning
if __name__ == "__main__":
    learning.tf_keras.Model.train_on_batch = lambda *_: float("nan")
    __main__.main(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (_KILLED, "want of memory.*Received: SIGKILL"),
        (
            _DIVERGED,
            "no finite number any more at step 1.*Received: learning_rate=0.3",
        ),
    ],
    ids=["killed", "diverged"],
)
def test_a_training_that_fails(classifier, tmp_path, monkeypatch, code, message):
    (tmp_path / "broken.py").write_text(code)
    monkeypatch.setattr("keras_effnet.export.compression.compressing._WORKER", "broken")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    recipe = CompressionRecipe(steps=2, batch_size=4, learning_rate=0.3)
    with pytest.raises(InputError, match=message) as refused:
        prune(classifier, digits(8), recipe=recipe, folder=tmp_path / "work")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "work" / "result.json").exists()


def test_a_black_image_tells_nothing():
    """All that is black is equal: ranges are found by another image."""
    image = keras.Input((24, 24, 3))
    x = keras.layers.Rescaling(1 / 255, name="pixels")(image)
    x = keras.layers.ZeroPadding2D()(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(x))
    model = keras.Model(image, keras.layers.Dense(5)(x))
    pixels = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 3), np.uint8)
    pixels[0] = 0
    description, arrays = twin.describe(model), twin.weights(model)
    _, ranges = post_training.start(model, pixels, description, arrays)
    assert ranges["pixels"] == pytest.approx((0, 1), abs=0.02)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_the_loss(kind):
    """Held against SciPy, for two images of seven classes."""
    recipe = {"distillation": 0.7, "temperature": 3.0, "loss": kind}
    random = np.random.default_rng(0)
    teacher, student = random.normal(0, 4, (2, 2, 7)).astype(np.float32)
    labels = np.eye(7, dtype=np.float32)[[2, 5]]
    found = objectives.loss(recipe)(np.concatenate([teacher, labels], -1), student)
    if kind == "softmax":
        p, q = special.softmax(teacher / 3, -1), special.softmax(student / 3, -1)
        divergence = special.rel_entr(p, q).sum(-1)
        entropy = -(labels * special.log_softmax(student, -1)).sum(-1)
    else:
        p, q, r = (special.expit(x) for x in (teacher / 3, student / 3, student))
        divergence = special.rel_entr(p, q) + special.rel_entr(1 - p, 1 - q)
        divergence = divergence.mean(-1)
        entropy = special.kl_div(labels, r) + special.kl_div(1 - labels, 1 - r)
        entropy = entropy.mean(-1)
    expected = 0.7 * 9 * divergence + 0.3 * entropy
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.slow  # test_the_loss has the sigmoid's
def test_a_class_alone_learns():
    image = keras.Input((24, 24, 3))
    x = keras.layers.Conv2D(8, 3, strides=4, name="stem")(image)
    x = keras.layers.Conv2D(8, 1, name="second")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(1)(x))
    recipe = CompressionRecipe(steps=3, batch_size=8, distillation=0.0)
    labels = np.arange(16) % 2
    result = prune(model, digits(16), labels=labels, recipe=recipe)
    assert min(result.figures["history"]) > 0.01
    assert result.figures["labelled"]


# Bad input.

_PIXELS = np.zeros((4, 24, 24, 3), np.uint8)
BAD = [
    (qat, _PIXELS, {"keep": "zeros"}, r"`keep` must be one of.*keep='zeros'"),
    (qat, _PIXELS[:1], {}, r"two images at least. Received: 1"),
    (qat, _PIXELS[:, :20], {}, r"\(images, 24, 24, 3\). Received: \(4, 20, 24, 3\)"),
    (qat, list(_PIXELS), {}, r"must be an array.*Received: list"),
    (qat, _PIXELS + np.float32("nan"), {}, r"finite number. Received: NaN"),
    (qat, _PIXELS, {"labels": np.arange(3)}, r"`labels` must be 4 whole numbers"),
    (qat, _PIXELS, {"labels": np.ones(4)}, r"whole numbers.*Received: float64"),
    (qat, _PIXELS, {"labels": np.full(4, 10)}, r"from 0 to 9. Received: 10 to 10"),
    (
        qat,
        _PIXELS,
        {"recipe": CompressionRecipe(distillation=0.5)},
        r"`distillation` must be 1, or give labels. Received: distillation=0.5",
    ),
    (prune, _PIXELS, {"sparsity": 1.5}, r"above 0 and below 1. Received: sparsity=1.5"),
    (prune, _PIXELS, {"sparsity": True}, r"above 0 and below 1. Received"),
    (prune, _PIXELS, {"pattern": "3:4"}, r"`pattern` must be one of.*'3:4'"),
    (prune, _PIXELS, {"pattern": "2:4", "sparsity": 0.7}, r"0.5. Received: sparsity"),
    (cluster, _PIXELS, {"clusters": 1}, r"from 3 to 256. Received: clusters=1"),
    (
        cluster,
        _PIXELS,
        {"keep": "clusters"},
        r"`keep` must be one of sparsity. Received",
    ),
    (
        cluster,
        _PIXELS,
        {"keep": "sparsity"},
        r"have no zeros that could be kept: prune",
    ),
    (
        qat,
        _PIXELS,
        {"keep": "both"},
        r"have no clusters that could be kept: cluster it",
    ),
    (qat, _PIXELS.astype(object), {}, r"must be of numbers. Received: object"),
]


@pytest.mark.parametrize(("technique", "images", "options", "message"), BAD)
def test_refuses(classifier, technique, images, options, message, tmp_path):
    with pytest.raises(InputError, match=message) as refused:
        technique(classifier, images, folder=tmp_path / "work", **options)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"`steps` must be a whole number from 1. Received: steps=0"),
        ({"batch_size": 2.5}, r"`batch_size` must be a whole number"),
        ({"learning_rate": 0}, r"`learning_rate` must be a number above 0"),
        ({"temperature": 0.5}, r"`temperature` must be.*Received: temperature=0.5"),
        ({"distillation": 1.5}, r"`distillation` must be.*Received: distillation=1.5"),
        ({"seed": -1}, r"`seed` must be.*Received: seed=-1"),
    ],
)
def test_recipes_that_are_none(options, message):
    with pytest.raises(InputError, match=message):
        CompressionRecipe(**options)
