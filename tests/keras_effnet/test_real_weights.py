"""Real weights on real photographs, before and after the export.

The photographs are training images of ImageNet: the accuracies are held against
what these weights reached on them elsewhere, not against published ones.
"""

import copy
import json
import pathlib
import typing

import conftest
import keras
import numpy as np
import pytest

import keras_effnet
from keras_effnet import preprocessing
from keras_effnet import saving
from keras_effnet.data.finding import find_photos
from keras_effnet.data.finding import read_list
from keras_effnet.data.photos import batches
from keras_effnet.evaluation import Evaluation
from keras_effnet.evaluation import evaluate
from keras_effnet.export import export
from keras_effnet.specs import get_spec

WEIGHTS = {
    "EfficientNetLite0": lambda: conftest.lite_weights(0),
    "EfficientNetV2B0": lambda: conftest.shared_file(
        "data/weights/efficientnetv2-b0_imagenet.weights.h5"
    ),
}
TOP1 = {"EfficientNetLite0": 0.885, "EfficientNetV2B0": 0.895}
# Plain post-training quantisation takes more from a network with swish and
# squeeze-and-excitation than from Lite, which was made for it.
INT8_LOSS = {"EfficientNetLite0": 0.02, "EfficientNetV2B0": 0.05}
CALIBRATION_IMAGES = 100


class Network(typing.NamedTuple):
    name: str
    weights: pathlib.Path
    model: keras.Model
    batches: list
    labels: np.ndarray
    evaluation: Evaluation


def read_labels(path):
    listed = read_list(path)
    return listed.paths, listed.indices


@pytest.fixture(scope="module", params=WEIGHTS)
def network(request):
    paths, labels = read_labels(conftest.shared_file("data/imagenet_sample/labels.csv"))
    weights = WEIGHTS[request.param]()
    spec = get_spec(request.param)
    shape = (spec.image_size, spec.image_size, 3)
    rule = preprocessing.for_weights(request.param, "imagenet")
    images = list(batches(paths, shape, rule, batch_size=50))
    model = keras_effnet.build_model(spec, weights=weights)
    evaluation = evaluate(model, images, labels)
    return Network(request.param, weights, model, images, labels, evaluation)


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    """The .tflite files, int8 calibrated on photographs of flowers."""
    photos = find_photos([conftest.shared_file("data/flowers")])
    photos = photos[:: len(photos) // CALIBRATION_IMAGES]
    rule = preprocessing.for_weights(network.model)
    files = export(
        network.model,
        tmp_path_factory.mktemp("exported"),
        ("float32", "int8"),
        calibration=lambda: batches(photos, (224, 224, 3), rule, batch_size=1),
    )
    return {file.precision: file for file in files}


def test_accuracy(network):
    assert len(network.labels) == 500
    assert network.evaluation.top1 >= TOP1[network.name]
    assert network.evaluation.top5 >= 0.96


@pytest.mark.slow
@pytest.mark.parametrize(("number", "top1"), [(1, 0.876), (2, 0.892)])
def test_accuracy_of_the_larger_lites(number, top1):
    name = f"EfficientNetLite{number}"
    paths, labels = read_labels(conftest.shared_file("data/imagenet_sample/labels.csv"))
    model = getattr(keras_effnet, name)(weights=conftest.lite_weights(number))
    rule = preprocessing.for_weights(model)
    assert rule == preprocessing.for_weights(name, "imagenet")
    images = batches(paths, model.input_shape[1:], rule)
    assert evaluate(model, images, labels).top1 >= top1


def test_the_float_file_is_as_accurate(network, exported):
    found = evaluate(exported["float32"].path, network.batches, network.labels)
    assert found.top1 == pytest.approx(network.evaluation.top1, abs=0.006)
    assert found.agreement(network.evaluation) >= 0.998


def test_the_int8_file_keeps_most_of_the_accuracy(network, exported):
    found = evaluate(exported["int8"].path, network.batches, network.labels)
    assert exported["int8"].numbers["float_operators"] == {}
    assert found.top1 >= network.evaluation.top1 - INT8_LOSS[network.name]
    assert found.agreement(network.evaluation) >= 0.93


# Processors emulate both: minutes.
@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_agrees(network, policy):
    keras.config.set_dtype_policy(policy)
    model = keras_effnet.build_model(get_spec(network.name), weights=network.weights)
    assert model.get_layer("stem_conv").compute_dtype == policy.removeprefix("mixed_")
    found = evaluate(model, network.batches, network.labels)
    assert found.agreement(network.evaluation) >= 0.98


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """V2-B0 that is given normalised pixels, the .tflite file with its sheet, and the
    labels of every tenth photograph."""
    folder = tmp_path_factory.mktemp("outside")
    paths, labels = read_labels(conftest.shared_file("data/imagenet_sample/labels.csv"))
    rows = [f"{p},{i}\n" for p, i in zip(paths[::10], labels[::10], strict=True)]
    (folder / "labels.csv").write_text("".join(["file,class_index\n", *rows]))
    weights = WEIGHTS["EfficientNetV2B0"]()
    options = {"include_preprocessing": False, "weights": weights}
    model = keras_effnet.EfficientNetV2B0(**options)
    (file,) = export(model, folder / "out")
    return model, file.path, folder / "labels.csv"


@pytest.mark.slow
def test_a_file_moved_alone_answers_as_with_its_sheet(outside, command, tmp_path):
    _, file, labels = outside
    alone = tmp_path / "alone.tflite"
    alone.write_bytes(file.read_bytes())
    photos = [str(path) for path in read_labels(labels)[0][:3]]
    quick = ("--runs", "1", "--seconds", "0", "--rounds", "1", "--json")
    named = ("--json", "--class-names", "imagenet")
    found = {}
    for path in (file, alone):
        answers = [
            command("evaluate", path, labels, "--json", "--strict"),
            command("predict", *photos, "--model", path, *named, "--strict"),
            command("benchmark", path, "--evaluate", labels, *quick, "--strict"),
        ]
        assert [code for code, *_ in answers] == [0, 0, 0], answers
        found[path] = [json.loads(output) for _, output, _ in answers]
    (evaluated, predicted, (measured,)), lonely = found[file], found[alone]
    assert evaluated["top1"] >= 0.8
    assert lonely[0] == evaluated
    # The metadata holds mean and deviation in float32.
    assert _answers(lonely[1], "name") == _answers(predicted, "name")
    expected = pytest.approx(_answers(predicted, "probability"), abs=1e-4)
    assert _answers(lonely[1], "probability") == expected
    for accuracy in (measured["accuracy"], lonely[2][0]["accuracy"]):
        assert (accuracy["top1"], accuracy["images"]) == (evaluated["top1"], 50)


def _answers(predicted, field):
    return [each[field] for row in predicted for each in row["predictions"]]


@pytest.mark.slow
@pytest.mark.parametrize("lose", ["clone", "copy", "save"])
def test_what_keras_loses_of_real_weights(lose, outside, command, tmp_path):
    model, _, labels = outside
    kept, lost = tmp_path / "kept.keras", tmp_path / "lost.keras"
    model.save(kept)
    if lose == "clone":
        other = keras.models.clone_model(model)
        other.set_weights(model.get_weights())
    else:
        other = (
            copy.deepcopy(model) if lose == "copy" else keras.models.load_model(kept)
        )
    assert saving.attached(other) is None
    other.save(lost)
    photos = [str(path) for path in read_labels(labels)[0][:3]]
    found = {}
    for path in (kept, lost):
        names = ("--class-names", "imagenet")
        _, evaluated, told = command("evaluate", path, labels, "--json", *names)
        _, predicted, _ = command("predict", *photos, "--model", path, "--json", *names)
        found[path] = json.loads(evaluated), json.loads(predicted)
    assert found[kept][0]["top1"] >= 0.8
    assert found[lost] == found[kept]
    assert any("that of its ImageNet weights is assumed" in line for line in told)
    code, _, (line,) = command("evaluate", lost, labels, "--strict")
    assert code == 1
    assert "that of its ImageNet weights is assumed" in line
