"""The whole search, on a small classifier that was trained to read digits."""

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tiny_classifier
from keras import layers

from keras_effnet.errors import InputError
from keras_effnet.export import converting
from keras_effnet.export.judge import Images
from keras_effnet.export.levers.draft import Draft
from keras_effnet.export.tuning.float_reference import FloatReference
from keras_effnet.export.tuning.limits import Limits
from keras_effnet.export.tuning.limits import choose
from keras_effnet.export.tuning.store import Store
from keras_effnet.sheet import Latency
from keras_effnet.tflite import TFLiteModel

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

search = tiny_classifier.search
LONG = 3600
# In the order in which they are tried, where the limit is missed to the end.
NAMES = [
    "min-max", "percentile 99.99", "percentile 99.999", "least square error",
    "least cubic error", "weight-only", "float32",
    "rounding by layer", "float islands 10%", "float islands 50%", "distillation",
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return tiny_classifier.trained()


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """An undisturbed search through everything, and what it told."""
    lines = []
    result = search(
        model, tmp_path_factory.mktemp("whole"), budget=LONG, progress=lines.append
    )
    return result, lines


@pytest.fixture
def copy(whole, tmp_path):
    """A folder in which that search was made."""
    return shutil.copytree(whole[0].folder, tmp_path / "copy")


def _files(folder):
    """The bytes of all candidates, by name."""
    paths = sorted((folder / "candidates").glob("[!.]*.tflite"))
    return {path.name: path.read_bytes() for path in paths}


def _times(folder):
    return {
        p.name: p.stat().st_mtime_ns
        for p in (folder / "candidates").glob("[!.]*.tflite")
    }


def _figures(result):
    """All but what the clock says."""
    return [
        {key: value for key, value in c.items() if key not in ("seconds", "latency")}
        for c in result.candidates
    ]


def _in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


class _Stopped(Exception):
    pass


def _stop_at(line, lines=None):
    """Progress that ends the search when a line begins so."""

    def tell(told):
        if lines is not None:
            lines.append(told)
        if told.startswith(line):
            raise _Stopped

    return tell


def test_everything_is_tried_and_kept(whole):
    result, lines = whole
    names = [candidate["name"] for candidate in result.candidates]
    assert names[: len(NAMES)] == NAMES
    assert set(names[len(NAMES) :]) <= {
        "distilled, float islands 10%", "distilled, float islands 50%",
    }  # fmt: skip
    told = [line.split(":")[0] for line in lines]
    assert [line for line in told if line in names] == names
    for candidate in result.candidates:
        path = result.folder / candidate["file"]
        assert path.stat().st_size == candidate["bytes"]
        assert candidate["latency"]["median_ms"] > 0
    report = json.loads((result.folder / "search.json").read_text())
    assert report["candidates"] == result.candidates
    assert report["chosen"] == result.chosen["name"]
    assert (report["met"], report["judged_on"]) == (result.met, 300)
    assert report["calibration"]["images"] == 40
    assert report["file"] == result.path.name
    assert report["sensitivity"]


def test_figures_are_what_the_files_answer(whole, model):
    """Agreement and divergence, computed here from Keras' own answers."""
    result, _ = whole
    images, _ = tiny_classifier.blends()
    true = np.asarray(model.predict_on_batch(images), np.float64)
    for name in ("min-max", "float islands 50%", "float32"):
        candidate = next(c for c in result.candidates if c["name"] == name)
        found = TFLiteModel(result.folder / candidate["file"]).predict(images)
        agreement = (found.argmax(1) == true.argmax(1)).mean()
        assert candidate["evaluation"]["agreement"] == pytest.approx(
            agreement, abs=4e-3
        )
        rows = [np.maximum(np.float64(side), 1e-3) for side in (true, found)]
        rows = [row / row.sum(axis=1, keepdims=True) for row in rows]
        divergence = (rows[0] * np.log(rows[0] / rows[1])).sum(1).mean()
        assert candidate["divergence"] == pytest.approx(divergence, rel=0.02, abs=1e-5)


def test_each_lever_builds_on_what_paid(whole):
    result, _ = whole
    best, levers = np.inf, None
    for candidate in result.candidates[:8]:
        if candidate["precision"] != "int8":
            continue
        if levers and candidate["name"] == "rounding by layer":
            assert candidate["levers"][:-1] == levers
        if candidate["divergence"] < best:
            best, levers = candidate["divergence"], candidate["levers"]
    for candidate in result.candidates:
        if candidate["name"].startswith("float islands"):
            assert candidate["levers"][:-1] == levers
            assert candidate["float_nodes"]


def test_the_chosen_file_stands_ready(whole):
    result, _ = whole
    found = TFLiteModel(result.path)
    assert found.classes == 10
    plain = TFLiteModel(result.folder / result.chosen["file"])
    images, _ = tiny_classifier.blends(20)
    np.testing.assert_array_equal(found.predict(images), plain.predict(images))
    sheet = json.loads(result.path.with_suffix(".json").read_text())
    assert sheet["levers"] == result.chosen["levers"]
    assert sheet["evaluation"] == result.chosen["evaluation"]


@pytest.mark.slow
def test_labels_change_no_file(whole, model, tmp_path):
    """Nor does the run: the same bytes again."""
    images, labels = tiny_classifier.blends()
    labelled = Images(lambda: np.array_split(images, 7), labels)
    # A limit that no file is within: the way to the end, without distillation.
    result = search(model, tmp_path, evaluation=labelled, min_agreement=1.0)
    expected = _files(whole[0].folder)
    found = _files(tmp_path)
    assert len(found) > 10
    assert found == {name: expected[name] for name in found}
    assert all(c["evaluation"]["drop"] is not None for c in result.candidates)
    assert all(c["evaluation"]["drop"] is None for c in whole[0].candidates)
    for mine, other in zip(result.candidates, whole[0].candidates, strict=False):
        assert mine["divergence"] == other["divergence"]
        assert mine["evaluation"]["agreement"] == other["evaluation"]["agreement"]


def test_a_stopped_search_goes_on(whole, model, tmp_path):
    with pytest.raises(_Stopped):
        search(model, tmp_path, budget=LONG, progress=_stop_at("percentile 99.99:"))
    before = _times(tmp_path)
    assert "min-max.tflite" in before
    assert not list(tmp_path.glob("*.tflite"))
    with pytest.raises(_Stopped):
        search(model, tmp_path, budget=LONG, progress=_stop_at("rounding by layer:"))
    middle = _times(tmp_path)
    assert middle.items() > before.items()
    result = search(model, tmp_path, budget=LONG)
    assert _times(tmp_path).items() > middle.items()
    assert _figures(result) == _figures(whole[0])
    assert _files(tmp_path) == _files(whole[0].folder)


def test_other_limits_use_what_is_there(copy, model):
    before = _times(copy)
    started = []
    result = search(model, copy, min_agreement=0.5, progress=started.append)
    assert result.met
    assert _times(copy) == before
    assert not any(line.startswith("measuring") for line in started)
    assert result.path.name == "digits_int8.tflite"
    assert "digits_int8.tflite" in _in(copy)


@pytest.mark.parametrize("change", ["seed", "images", "input_type", "half a file"])
def test_what_was_made_of_other_things_is_not_used(change, copy, model):
    images, _ = tiny_classifier.digits()
    options = {
        "seed": {"seed": 1},
        "images": {"calibration": lambda: [images[1:41]]},
        "input_type": {"input_type": "uint8"},
        "half a file": {},
    }[change]
    path = copy / "candidates" / "min-max.json"
    if change == "half a file":
        path.write_text(path.read_text()[:100])
    target = path.with_suffix(".tflite")
    before = target.stat().st_mtime_ns
    with pytest.raises(_Stopped):
        search(model, copy, progress=_stop_at("min-max:"), **options)
    assert target.stat().st_mtime_ns > before


def _hard_images(model, folder):
    """Images of which a file with 8-bit weights names another class."""
    images, _ = tiny_classifier.blends(3000)
    trace = converting.trace(model, folder / "trace")
    files = []
    for precision in ("float32", "weight-only"):
        path = folder / f"{precision}.tflite"
        path.write_bytes(converting.file_of(trace, precision))
        files.append(TFLiteModel(path, threads=2).predict(images).argmax(axis=1))
    return images[files[0] != files[1]]


def test_a_limit_that_is_not_met(model, tmp_path):
    folder = tmp_path / "out"
    met = search(model, folder, min_agreement=0.5, budget=1e-6)
    assert met.met
    assert met.path.name == "digits_int8.tflite"
    assert met.path.exists()
    hard = _hard_images(model, tmp_path)
    assert len(hard) > 1
    lines = []
    result = search(
        model, folder, evaluation=Images(lambda: [hard]), progress=lines.append
    )
    assert not result.met
    assert not any(c["within"] for c in result.candidates if c["name"] != "float32")
    assert result.path.name == "digits_int8-over-limit.tflite"
    assert result.path.exists()
    assert sorted(path.name for path in folder.glob("*.tflite")) == [result.path.name]
    int8 = [c for c in result.candidates if c["precision"] == "int8"]
    best = max(c["evaluation"]["agreement"] for c in int8)
    assert result.chosen["evaluation"]["agreement"] == best
    assert json.loads((folder / "search.json").read_text())["met"] is False
    # And back: what is over the limit does not stay beside what is not.
    again = search(model, folder, min_agreement=0.0, budget=1e-6)
    assert sorted(path.name for path in folder.glob("*.tflite")) == [again.path.name]


def test_a_spent_budget_ends_with_what_there_is(model, tmp_path, caplog):
    result = search(
        model, tmp_path, budget=1e-6, min_agreement=0.5,
        cost=lambda paths: [Latency(median_ms=7.0, host=path.name) for path in paths],
    )  # fmt: skip
    assert [c["name"] for c in result.candidates] == ["min-max"]
    cost = {"median_ms": 7.0, "host": "min-max.tflite", "relative": 1.0}
    assert result.chosen["latency"].items() >= cost.items()
    assert result.met
    assert result.path.exists()
    assert sum("the budget is spent" in line for line in caplog.messages) == 1


# Bad input.


@pytest.fixture(scope="module")
def float_path(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("float")
    path = folder / "float.tflite"
    path.write_bytes(converting.trace(model, folder / "trace").float32)
    return path


def test_what_the_images_can_not_tell(float_path):
    images, labels = tiny_classifier.digits()
    for kept, with_labels, note in (
        (labels == 3, True, "all images that judge are of one class"),
        (labels == 3, False, "gives all images that judge one class"),
        (slice(0, 7), True, "judged on 7 images alone, which tells little"),
    ):
        judged = images[kept][:200]
        if with_labels:
            found = FloatReference(float_path, judged, labels[kept][:200]).notes
        else:
            answers = TFLiteModel(float_path).predict(judged).argmax(axis=1)
            found = FloatReference(float_path, judged[answers == 3]).notes
        assert len(found) == 1
        assert note in found[0]
    assert FloatReference(float_path, images[:200], labels[:200]).notes == []


def test_an_untrained_model_is_searched_with_a_note(tmp_path, caplog):
    image = keras.Input((24, 24, 3))
    x = layers.Conv2D(8, 3, 2, activation="relu")(layers.Rescaling(1 / 255)(image))
    x = layers.GlobalAveragePooling2D()(x)
    raw = keras.Model(image, layers.Dense(10, activation="softmax")(x), name="raw")
    images, _ = tiny_classifier.digits()
    result = search(
        raw, tmp_path, evaluation=Images(lambda: [images[:60]]), min_agreement=0.1
    )
    notes = json.loads((tmp_path / "search.json").read_text())["notes"]
    assert any("like one that is not trained" in note for note in notes)
    assert set(notes) <= set(caplog.messages)
    assert result.path.exists()


def test_a_third_of_the_images_judges(model, tmp_path, caplog):
    images, _ = tiny_classifier.digits()
    lines = []
    with pytest.raises(_Stopped):
        search(
            model, tmp_path, calibration=lambda: [images[:20]], evaluation=None,
            progress=_stop_at("calibrating", lines),
        )  # fmt: skip
    assert "judged on 6 images alone" in caplog.text


def _divides():
    """A classifier that answers NaN on a black photograph: 0 / 0."""
    image = keras.Input((24, 24, 3))
    mean = keras.ops.mean(image, axis=(1, 2, 3), keepdims=True)
    x = layers.Conv2D(4, 3, activation="relu")(image / mean)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3, activation="softmax")(x), name="divides")


@pytest.mark.parametrize("where", ["judged", "calibration"])
def test_a_float_model_that_answers_nan(where, tmp_path):
    bright = tiny_classifier.digits()[0][:6]
    black = np.concatenate([bright, np.zeros((1, 24, 24, 3), "float32")])
    sides = (bright, black) if where == "judged" else (black, bright)
    with pytest.raises(InputError, match=r"finite number.*Received: NaN or inf"):
        search(
            _divides(), tmp_path, calibration=lambda: [sides[0]],
            evaluation=Images(lambda: [sides[1]]),
        )  # fmt: skip
    assert _in(tmp_path) == []


def _refused(model, folder, **options):
    with pytest.raises(InputError) as refused:
        search(model, folder, **options)
    assert _in(folder) == []
    message = str(refused.value)
    assert "\n" not in message
    assert "Received: " in message
    return message


def test_images_that_are_refused(tmp_path):
    image = keras.Input((24, 24, 3))
    x = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Dense(10, activation="softmax")(x), name="mean")
    images, labels = tiny_classifier.digits()
    nan = images[:9].copy()
    nan[4, 3, 2, 1] = np.nan
    refused = functools.partial(_refused, model, tmp_path)
    for wrong in (images[:6, :20], images[:6, ..., :1], images[0]):
        assert "must have the shape (batch, 24, 24, 3)" in refused(
            calibration=lambda wrong=wrong: [wrong]
        )
    assert "shape (batch, 24" in refused(evaluation=Images(lambda: [images[:6, 1:]]))
    message = refused(calibration=lambda: [nan], evaluation=None)
    assert message.endswith("NaN or infinity in image 4")
    assert "finite" in refused(evaluation=Images(lambda: [nan]))
    for count in (0, 1, 2):
        message = refused(calibration=lambda n=count: [images[:n]], evaluation=None)
        assert "at least 3 calibration images" in message
        assert message.endswith(f"Received: {count}")
    assert "at least 1 calibration images" in refused(calibration=lambda: [])
    assert "one to judge by" in refused(evaluation=Images(lambda: []))
    for wrong in (labels[:5], np.full(6, 10), np.full(6, -1)):
        message = refused(evaluation=Images(lambda: [images[:6]], wrong))
        assert "as many labels" in message or "classes 0 to 9" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_agreement": None}, "There must be a limit"),
        ({"min_agreement": 97}, "`min_agreement` must be a number from 0 to 1"),
        ({"min_agreement": -0.1}, "Received: min_agreement=-0.1"),
        ({"min_agreement": float("nan")}, "Received: min_agreement=nan"),
        ({"min_agreement": True}, "Received: min_agreement=True"),
        ({"min_agreement": "0.9"}, "Received: min_agreement='0.9'"),
        ({"max_drop": 0.5}, "`max_drop` needs labelled images"),
        ({"max_drop": 0.5, "evaluation": None}, "Received: none"),
        ({"max_drop": 101}, "`max_drop` must be a number from 0 to 100"),
        ({"budget": 0}, "`budget` must be a number of seconds above 0"),
        ({"budget": float("nan")}, "Received: budget=nan"),
        ({"budget": True}, "Received: budget=True"),
        ({"seed": -1}, "`seed` must be a whole number"),
        ({"seed": 0.5}, "Received: seed=0.5"),
        ({"seed": 2**31}, "Received: seed=2147483648"),
        ({"calibration": [1]}, "`calibration` must be a function"),
        ({"evaluation": lambda: []}, "must be `keras_effnet.export.Images`"),
        ({"input_type": "int16"}, "input_type"),
        ({"name": "a/b"}, "`name` must be a file's name"),
    ],
)
def test_options_that_are_refused(options, message, model, tmp_path):
    assert message in _refused(model, tmp_path, **options)


def test_operators_without_gradients_are_no_hindrance(tmp_path, caplog):
    """A maximum over the map, of which `Network` knows nothing."""
    image = keras.Input((24, 24, 3))
    x = layers.Conv2D(8, 3, 2, activation="swish")(layers.Rescaling(1 / 255)(image))
    x = layers.GlobalMaxPooling2D()(x)
    model = keras.Model(image, layers.Dense(10, activation="softmax")(x), name="most")
    images, _ = tiny_classifier.digits()
    result = search(
        model, tmp_path, evaluation=Images(lambda: [images[100:160]]),
        min_agreement=1.0, budget=LONG,
    )  # fmt: skip
    (told,) = (line for line in caplog.messages if "that need gradients" in line)
    assert told.endswith("Received: REDUCE_MAX")
    names = [c["name"] for c in result.candidates]
    assert names == [n for n in NAMES[:8] if n in names]
    assert {"least square error", "rounding by layer"} <= set(names)
    assert result.path.exists()
    assert json.loads((tmp_path / "search.json").read_text())["sensitivity"] is None


# The choice, of figures made up for it.


def _candidate(name, relative, divergence, agreement=0.99, drop=None, **changes):
    return {
        "name": name,
        "precision": "int8",
        "latency": {"relative": relative},
        "divergence": divergence,
        "expected_agreement": agreement,
        "float_share": 0.0,
        "evaluation": {"agreement": agreement, "drop": drop},
        "within": True,
    } | changes


def _chosen(candidates, limits):
    for candidate in candidates:
        candidate["within"] = limits.keep(candidate)
    return choose(candidates, limits)["name"]


def test_what_a_kill_left_half_written_is_removed(tmp_path):
    folder = tmp_path / "candidates"
    folder.mkdir()
    left = folder / ".writing-abcmin-max.tflite"
    left.write_bytes(b"half of")
    with Store(tmp_path, "0" * 64):
        assert not left.exists()


DAMAGES = {
    "a byte": lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
    "cut": lambda data: data[:-1],
    "empty": lambda data: b"",
    "nested": lambda data: b'{"a":' * 5000,
    "another": lambda data: data.replace(b"0", b"1"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_damaged_is_made_again(damage, tmp_path, caplog):
    made = []

    def figures(path):
        made.append(path.name)
        path.write_bytes(b"0" * 100)
        return {"top1": 0.5}

    def draft():
        made.append("draft")
        return Draft(b"0" * 99, {10: (0.0, 1.5), 9: (-1.0, 1.0)}, frozenset({2}), ())

    def search():
        made.clear()
        with Store(tmp_path, "0" * 64) as store:
            kept = store.candidate("least error", figures)
            found = kept, store.draft("draft", draft), store.value("steps", lambda: 3)
            store.update(kept | {"latency": 1.0})
        return found

    expected = search()
    assert len(made) == 2
    again = search()
    assert made == []
    assert again[0].pop("latency") == 1
    assert again == expected
    for path in sorted((tmp_path / "candidates").iterdir()):
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    again = search()
    assert len(made) == 2
    assert again == expected
    assert "damaged, and made again" in caplog.text


def test_the_fastest_within_the_limits_is_chosen():
    found = [
        _candidate("plain", 1.0, 0.5, 0.90),
        _candidate("slow", 1.3, 0.001, 0.999),
        _candidate("fast", 1.1, 0.3, 0.97),
        _candidate("float", 0.5, 0.0, 1.0, precision="float32"),
        _candidate("weights", 0.4, 0.0, 1.0, precision="weight-only"),
    ]
    assert _chosen(found, Limits(min_agreement=0.97)) == "fast"
    assert _chosen(found, Limits(min_agreement=0.98)) == "slow"
    assert _chosen(found, Limits(min_agreement=0.5)) == "plain"


def test_equally_fast_files_are_told_apart_by_their_answers():
    found = [
        _candidate("a", 1.0, 0.3),
        _candidate("b", 1.029, 0.1),
        _candidate("c", 1.04, 0.01),
    ]
    assert _chosen(found, Limits(min_agreement=0.9)) == "b"
    # Less in float goes before that: its speed is that of int8 on any machine.
    found.append(_candidate("d", 1.0, 0.05, float_share=0.2))
    assert _chosen(found, Limits(min_agreement=0.9)) == "b"


def test_over_the_limit_int8_that_answers_closer_is_kept():
    """Of few images one more right is chance, and float takes twice as long."""
    islands = _candidate("islands", 1.04, 0.02, drop=1.5)
    weights = _candidate("weights", 2.08, 0.05, drop=1.0, precision="weight-only")
    plain = _candidate("plain", 1.0, 0.4, drop=6.0)
    limit = Limits(max_drop=0.5)
    assert _chosen([plain, weights, islands], limit) == "islands"
    # But where it does answer closer than all of them:
    assert _chosen([plain, weights | {"divergence": 0.01}, islands], limit) == "weights"
    assert _chosen([weights], limit) == "weights"


def test_weights_alone_are_a_last_resort():
    found = [
        _candidate("a", 1.0, 0.3, 0.9),
        _candidate("b", 3.0, 0.1, 0.999, precision="weight-only"),
        _candidate("c", 2.0, 0.0, 1.0, precision="float32"),
    ]
    assert _chosen(found, Limits(min_agreement=0.95)) == "b"
    assert _chosen(found, Limits(min_agreement=0.85)) == "a"


def test_the_nearest_miss_is_kept():
    found = [
        _candidate("a", 1.0, 0.01, 0.90, 3.0),
        _candidate("b", 2.0, 0.20, 0.94, 0.9),
        _candidate("c", 2.0, 0.10, 0.94, 0.9),
        _candidate("d", 1.0, 0.02, 0.93, 0.1),
        _candidate("e", 2.0, 0.00, 1.0, 0.0, precision="float32"),
    ]
    assert _chosen(found, Limits(min_agreement=0.99)) == "c"
    # 1 point of agreement and none of accuracy, or none and .4.
    assert _chosen(found, Limits(max_drop=0.5, min_agreement=0.94)) == "c"
    assert _chosen(found, Limits(max_drop=0.05)) == "d"


def test_a_limit_is_kept_to_the_end_of_its_range():
    def keeps(limits, agreement, drop, **changes):
        return limits.keep(_candidate("a", 1.0, 0.1, agreement, drop, **changes))

    limits = Limits(max_drop=0.5, min_agreement=0.97)
    assert keeps(limits, 0.97, 0.5)
    assert keeps(limits, 1.0, -2.0)
    assert not keeps(limits, 0.9699, 0.0)
    assert not keeps(limits, 1.0, 0.51)
    assert keeps(Limits(min_agreement=0.0), 0.0, None)
    # Luck on a few images does not count.
    assert not keeps(limits, 1.0, 0.0, expected_agreement=0.96)
    assert not keeps(limits, 0.96, 0.0, expected_agreement=1.0)
    assert keeps(Limits(max_drop=0.5), 1.0, 0.0, expected_agreement=0.5)


# Killed.


@pytest.mark.slow
def test_a_killed_search_goes_on(whole, model, tmp_path):
    model.save(tmp_path / "digits.keras")
    folder = tmp_path / "out"
    command = [
        sys.executable, tiny_classifier.__file__, tmp_path / "digits.keras", folder,
    ]  # fmt: skip

    def start():
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    process = start()
    with contextlib.closing(process.stdout) as lines:
        for line in lines:
            if line.startswith("percentile 99.99:"):
                break
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    kept = {
        name: moment for name, moment in _times(folder).items()
        if (folder / "candidates" / name).with_suffix(".json").exists()
    }  # fmt: skip
    assert len(kept) >= 1
    assert not list(folder.glob("*.tflite"))
    process = start()
    process.communicate()
    assert process.returncode == 0
    after = _times(folder)
    assert kept.items() <= after.items()
    assert _files(folder) == _files(whole[0].folder)
    report = json.loads((folder / "search.json").read_text())
    assert report["met"] == whole[0].met
    found = [
        {key: value for key, value in c.items() if key not in ("seconds", "latency")}
        for c in report["candidates"]
    ]
    assert found == _figures(whole[0])
