"""The commands qat, prune and cluster, as a user types them, mistakes included."""

import importlib.util
import json

import keras
import numpy as np
import pytest
import tflite_file
from conftest import one_line

from keras_effnet import cli
from keras_effnet.export import Compressed
from keras_effnet.export.compression import techniques

for _module in ("tf_keras", "tensorflow_model_optimization"):
    if importlib.util.find_spec(_module) is None:
        pytest.skip(f"{_module} is not installed", allow_module_level=True)

SHORT = ("--steps", "2", "--batch-size", "2")


@pytest.fixture(scope="module")
def trained(tiny_model, photos, tmp_path_factory):
    """What `keras-effnet prune` leaves behind: the folder."""
    folder = tmp_path_factory.mktemp("pruned")
    tiny_model.save(folder / "tiny.keras")
    arguments = [
        *("prune", folder / "tiny.keras", "--train", *photos, *SHORT),
        *("--sparsity", "0.75", "--precision", "float32,int8"),
        *("--output", folder / "out"),
    ]
    assert cli.main([str(argument) for argument in arguments]) == 0
    return folder / "out"


def test_what_is_written(trained):
    assert {path.name for path in trained.iterdir()} - {".lock"} == {
        "tiny.keras",
        *(f"tiny_{p}.{e}" for p in ("float32", "int8") for e in ENDINGS),
    }


ENDINGS = ("tflite", "json", "html")


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_sheet(trained, precision):
    path = trained / f"tiny_{precision}.tflite"
    sheet = json.loads(path.with_suffix(".json").read_text())
    training = sheet["training"]
    assert training["technique"] == "prune"
    assert training["recipe"]["steps"] == len(training["history"]) == 2
    assert training["images"] == 2
    assert training["labelled"] is False
    assert training["twin_difference"] <= 1e-5
    assert training["back_difference"] <= 1e-5
    compressed = sheet["compressed_bytes"]
    assert 0 < compressed["gzip"] < 0.95 * path.stat().st_size
    assert 0 < compressed["zstd"] < 0.95 * path.stat().st_size
    # Depthwise kernels and the first layer stay whole.
    assert 0.5 < sheet["sparsity"] <= 0.78
    assert sheet["settings"]["command"].startswith("keras-effnet prune ")
    assert "PruneLowMagnitude" in path.with_suffix(".json").read_text()


def test_the_files_are_of_the_trained_model(trained):
    pixels = np.float32(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)))
    model = keras.saving.load_model(trained / "tiny.keras")
    found = tflite_file.run(trained / "tiny_float32.tflite", pixels)
    np.testing.assert_allclose(found, np.asarray(model(pixels)), atol=1e-5)
    assert np.mean(np.asarray(model.get_layer("top_conv").kernel) == 0) == 0.75


@pytest.mark.slow
@pytest.mark.parametrize("technique", ["qat", "cluster"])
def test_whole_commands(command, saved, copies, tmp_path, technique):
    out = tmp_path / "out"
    code, output, _ = command(
        technique, saved, "--train", copies, *SHORT, "--output", out
    )
    assert code == 0
    precision = {"qat": "int8", "cluster": "float32"}[technique]
    assert output.splitlines()[-1] == str(out / "tiny.keras")
    sheet = json.loads((out / f"tiny_{precision}.json").read_text())
    assert len(sheet["training"]["history"]) == 2
    assert not [path for path in out.iterdir() if path.is_dir()]


@pytest.fixture
def asked(monkeypatch):
    """What the commands ask of `export`, which gives the model back untrained."""
    calls = []

    def replace(technique):
        def compress(model, images, **options):
            calls.append({"technique": technique, "images": images} | options)
            options["folder"].mkdir(parents=True)
            options["progress"]("step 1")
            figures = {"history": [0.5], "recipe": options["recipe"].as_json()}
            figures |= {"technique": technique, "images": len(images), "wrappers": {}}
            return Compressed(model, technique, {}, None, figures)

        monkeypatch.setattr(techniques, technique, compress)

    for technique in ("qat", "prune", "cluster"):
        replace(technique)
    return calls


def test_what_is_asked(command, saved, copies, asked, tmp_path):
    base = ("--train", copies, "--seed", "3", "--learning-rate", "0.02", *SHORT)
    for number, (technique, *options) in enumerate(
        (
            ("prune", "--sparsity", "0.6", "--pattern", "block"),
            ("cluster", "--clusters", "8", "--keep", "sparsity"),
        )
    ):
        out = tmp_path / str(number)
        code, *_ = command(technique, saved, *base, *options, "--output", out)
        assert code == 0
        assert sorted(path.name for path in out.glob("*.tflite")) == [
            "tiny_float32.tflite"
        ]
    pruning, clustering = asked
    assert (pruning["sparsity"], pruning["pattern"]) == (0.6, "block")
    assert (clustering["clusters"], clustering["keep"]) == (8, "sparsity")
    for call in asked:
        recipe = call["recipe"]
        assert (recipe.steps, recipe.batch_size, recipe.seed) == (2, 2, 3)
        assert (recipe.learning_rate, recipe.distillation) == (0.02, 1)
        assert call["labels"] is None
        assert call["images"].shape == (2, 32, 32, 3)
        assert call["images"].max() > 1


def test_labels(command, saved, copies, asked, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("file,class_index\nphotos/flower.jpg,3\nphotos/china.jpg,1\n")
    code, *_ = command(
        "prune", saved, "--train", labels, "--distillation", "0.5", *SHORT,
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert code == 0
    (call,) = asked
    assert sorted(call["labels"].tolist()) == [1, 3]
    assert call["recipe"].distillation == 0.5


def refusal(result):
    """The line that refuses, after a note on the model."""
    code, output, errors = result
    lines = [line for line in errors if not line.startswith("keras-effnet: note: ")]
    return one_line((code, output, lines))


BAD = (
    ("qat", ("--distillation", "0"), "class"),
    ("qat", ("--distillation", "2"), "`distillation` must be"),
    ("qat", ("--keep", "nonsense"), "`keep` must be one of sparsity, clusters"),
    ("prune", ("--sparsity", "1.5"), "above 0 and below 1. Received: sparsity=1.5"),
    ("prune", ("--pattern", "3:4"), "`pattern` must be one of"),
    ("prune", ("--precision", "int4"), "int4"),
    ("cluster", ("--clusters", "1"), "from 3 to 256. Received: clusters=1"),
    ("cluster", ("--keep", "clusters"), "`keep` must be one of sparsity"),
    ("cluster", ("--steps", "0"), "`steps` must be a whole number from 1"),
    ("cluster", ("--train-images", "1"), "--train-images must be at least 2"),
    ("qat", ("--input-type", "uint9"), "`input_type` must be one of"),
    ("qat", ("--name", "a/b"), "`name` must be a file's name"),
    ("qat", ("--max-drop", "1"), "`max_drop` needs labelled images"),
    ("qat", ("--keep", "sparsity"), "have no zeros that could be kept: prune it"),
    ("cluster", ("--keep", "sparsity"), "have no zeros that could be kept: prune it"),
)


@pytest.mark.parametrize(("technique", "options", "message"), BAD)
def test_options_that_are_refused(
    command, saved, copies, tmp_path, technique, options, message
):
    out = tmp_path / "out"
    line = refusal(
        command(technique, saved, "--train", copies, *options, "--output", out)
    )
    assert message in line
    assert not list(tmp_path.glob("out/**/*.*"))


def test_the_model_that_came_in_is_kept(command, saved, copies):
    before = saved.read_bytes()
    name = keras.saving.load_model(saved).name
    path = saved.rename(saved.with_name(f"{name}.keras"))
    line = refusal(command("qat", path, "--train", copies, "--output", path.parent))
    assert "would replace the one that it comes from" in line
    assert path.read_bytes() == before


def test_photographs_that_are_refused(command, saved, copies, tmp_path):
    out = ("--output", tmp_path / "out")
    line = refusal(command("qat", saved, "--train", tmp_path / "no", *out))
    assert "no such file or folder" in line
    both = ("--train", copies, "--evaluate", copies)
    line = refusal(command("qat", saved, *both, *out))
    assert "never judged by photographs that it was made with" in line


def test_a_nested_model(command, copies, tmp_path):
    inner = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 3)], name="body"
    )
    image = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(inner(image))
    keras.Model(image, keras.layers.Dense(5)(x)).save(tmp_path / "nested.keras")
    for technique in ("qat", "prune", "cluster"):
        path = tmp_path / "nested.keras"
        out = ("--output", tmp_path / "out")
        line = refusal(command(technique, path, "--train", copies, *out))
        assert "takes flat models" in line
        assert "'body'" in line


def test_without_tfmot(command, saved, copies, tmp_path, monkeypatch):
    find = importlib.util.find_spec

    def missing(name, *arguments):
        absent = name == "tensorflow_model_optimization"
        return None if absent else find(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    line = refusal(
        command("qat", saved, "--train", copies, "--output", tmp_path / "out")
    )
    assert "pip install keras-effnet[tfmot]" in line
