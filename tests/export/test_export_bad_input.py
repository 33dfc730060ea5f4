"""What a user may get wrong, and what may happen to an export."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import peer
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_effnet.errors import InputError
from keras_effnet.export import Images
from keras_effnet.export import export

PIXELS = peer.images(32, 32, batch=4)


def _with_nan():
    pixels = PIXELS.copy()
    pixels[2, 3, 4, 1] = np.nan
    return pixels


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (_with_nan(), r"must be a finite number.*Received: NaN or infinity"),
        (PIXELS * np.inf, r"must be a finite number.*Received: NaN or infinity"),
        (PIXELS[:, :16], r"\(batch, 32, 32, 3\). Received: \(4, 16, 32, 3\)"),
        (PIXELS[..., :1], r"\(batch, 32, 32, 3\). Received: \(4, 32, 32, 1\)"),
        (PIXELS[0], r"\(batch, 32, 32, 3\). Received: \(32, 32, 3\)"),
        (PIXELS[:0], r"at least one image. Received: none"),
    ],
)
def test_calibration_images(tiny_model, images, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        export(tiny_model, tmp_path, ("float32", "int8"), lambda: (images,))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_weight_that_is_no_number_is_named(tiny_model, tmp_path):
    model = keras.models.clone_model(tiny_model)
    model.set_weights(tiny_model.get_weights())
    layer = model.get_layer("block3a_dwconv")
    (kernel,) = layer.get_weights()
    kernel[1, 1, 0, 0] = np.nan
    layer.set_weights([kernel])
    with pytest.raises(InputError, match=r"Received: block3a_dwconv/kernel"):
        export(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"precisions": ("int16x8",), "engine": "tflite"},
            r"`engine` for int16x8 must be one of litert. Received: 'tflite'",
        ),
        (
            {"engine": "litter"},
            r"`engine` must be one of tflite, litert.*'litert'.*engine='litter'",
        ),
        ({"precisions": ()}, r"float32, .*int16x8. Received: none"),
        ({"batch_size": 0}, r"from 1, or None.*batch_size=0"),
        ({"input_type": "uint16"}, r"float32, uint8, int8.*input_type='uint16'"),
        ({"max_drop": 1}, r"needs labelled images.*Received: none"),
        (
            {"max_drop": 1, "evaluation": Images(lambda: (PIXELS,))},
            r"needs labelled images.*Received: images without labels",
        ),
        ({"max_drop": -1}, r"from 0 to 100. Received: max_drop=-1"),
    ],
)
def test_options(tiny_model, options, message, tmp_path):
    options = {"calibration": lambda: (PIXELS,), **options}
    with pytest.raises(InputError, match=message):
        export(tiny_model, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def _assert_whole(folder):
    """Each .tflite file runs and its sheet is its own; the names of the files."""
    files = sorted(
        path for path in folder.glob("*.tflite") if not path.name.startswith(".")
    )
    for path in files:
        sheet = json.loads(path.with_suffix(".json").read_text())
        assert sheet["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert sheet["file"] == path.name
        assert path.with_suffix(".html").read_text().endswith("</html>\n")
        Interpreter(str(path)).allocate_tensors()
    return [path.name for path in files]


class _Watch:
    """Looks at a folder before each thing that Python does to any file.

    What is there at such a moment is what a kill then would leave. Python can't
    remove an audit hook, so it falls silent instead.
    """

    def __init__(self, folder):
        self.folder, self.on, self.failures = folder, True, []
        self.seen = set()
        sys.addaudithook(self._hook)

    def _hook(self, event, arguments):
        if not self.on or event not in ("open", "os.rename", "os.remove"):
            return
        self.on = False  # looking opens files
        try:
            self.seen.add(tuple(_assert_whole(self.folder)))
        except Exception as error:
            self.failures.append((event, arguments, repr(error)))
        self.on = True


@pytest.mark.parametrize("older", [False, True])
def test_no_moment_shows_a_half_written_file(tiny_model, older, tmp_path):
    if older:
        export(tiny_model, tmp_path)
        model = keras.models.clone_model(tiny_model)  # of other weights
    else:
        model = tiny_model
    watch = _Watch(tmp_path)
    try:
        export(model, tmp_path, ("float32", "float16"))
    finally:
        watch.on = False
    assert watch.failures == []
    names = ["tiny_float16.tflite", "tiny_float32.tflite"]
    assert _assert_whole(tmp_path) == names
    assert {(), (names[1],)} <= watch.seen


def test_the_second_export_into_a_folder_replaces_the_first(tiny_model, tmp_path):
    export(tiny_model, tmp_path, ("float32", "float16"))
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = keras.models.clone_model(tiny_model)
    export(other, tmp_path, ("float32", "float16"))
    _assert_whole(tmp_path)
    second = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)


def _start(model, folder):
    command = [
        *(sys.executable, "-m", "keras_effnet.export", str(model), "--no-latency"),
        *("--precision", "float32,float16,dynamic", "--output", str(folder)),
    ]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "count"),
    [(".writing-*", 1), ("*.json", 1), ("*.tflite", 1), ("*.json", 2), ("*.tflite", 2)],
)
def test_a_killed_export(tiny_model, pattern, count, tmp_path):
    model, folder = tmp_path / "tiny.keras", tmp_path / "out"
    tiny_model.save(model)
    process = _start(model, folder)

    def appeared():
        found = [path.name for path in folder.glob(pattern)]
        if not pattern.startswith("."):
            found = [name for name in found if not name.startswith(".")]
        return len(found) >= count

    while process.poll() is None and not appeared():
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the export was over"
    left = _assert_whole(folder)
    assert len(left) < 3
    process = _start(model, folder)
    process.communicate()
    assert process.returncode == 0
    assert len(_assert_whole(folder)) == 3
