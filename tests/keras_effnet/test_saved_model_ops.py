"""What a SavedModel of a stranger may not run."""

import pytest
import tensorflow as tf
from conftest import one_line

from keras_effnet import saved_model_ops
from keras_effnet.errors import InputError
from keras_effnet.evaluation import load_classifier

IMAGES = tf.TensorSpec((1, 4, 4, 3), tf.float32, "images")


class _Model(tf.Module):
    """A classifier that does something else besides."""

    def __init__(self, besides):
        super().__init__()
        self.bias = tf.Variable([0.0, 1.0])
        self.serve = tf.function(self._serve, input_signature=[IMAGES])
        self._besides = besides

    def _serve(self, images):
        self._besides()
        return tf.nn.softmax(tf.reduce_mean(images, (1, 2))[:, :2] + self.bias)


def _saved(folder, besides=lambda: None):
    model = _Model(besides)
    tf.saved_model.save(model, folder, signatures=model.serve)
    return folder


def _deep(act):
    """In a branch, in a loop, in a function of its own."""

    @tf.function
    def inner():
        act()
        return 0

    def besides():
        always = tf.random.uniform(()) < 2
        tf.while_loop(
            lambda i: i < 1,
            lambda i: i + 1 + tf.cond(always, inner, lambda: 0),
            [0],
        )

    return besides


def _acts(target):
    text = tf.constant("written")
    return {
        "WriteFile": lambda: tf.io.write_file(target, text),
        "ReadFile": lambda: tf.io.read_file("/etc/passwd"),
        "MatchingFiles": lambda: tf.io.matching_files("/*"),
        "SaveV2": lambda: tf.raw_ops.SaveV2(
            prefix=target, tensor_names=["a"], shape_and_slices=[""], tensors=[text]
        ),
        "PrintV2": lambda: tf.print(text, output_stream=f"file://{target}"),
    }


@pytest.mark.parametrize("name", _acts(""))
def test_operators_on_files_are_refused_and_not_run(name, tmp_path):
    target = tmp_path / "written"
    act = _acts(str(target))[name]
    folder = _saved(tmp_path / "model", _deep(act) if name == "WriteFile" else act)
    with pytest.raises(InputError, match=f"{name}.*Received: '.*model'"):
        load_classifier(folder)
    assert not target.exists()


def test_an_honest_one_is_taken(tmp_path):
    folder = _saved(tmp_path / "model")
    assert load_classifier(folder).predict(tf.zeros((1, 4, 4, 3))).shape == (1, 2)
    (folder / "saved_model.pbtxt").touch()
    with pytest.raises(InputError, match=r"saved_model\.pbtxt can't be looked into"):
        load_classifier(folder)
    (folder / "saved_model.pbtxt").unlink()
    (folder / "saved_model.pb").write_bytes(b"\xff" * 99)
    with pytest.raises(InputError, match="can't be read, it may be damaged"):
        saved_model_ops.check(folder)


def test_trust_runs_it(tmp_path, photos, command):
    target = tmp_path / "written"
    act = _acts(str(target))["WriteFile"]
    folder = _saved(tmp_path / "model", act)
    arguments = ("predict", photos[0], "--model", folder)
    assert "--trust" in one_line(command(*arguments))
    assert not target.exists()
    code, _, _ = command(*arguments, "--trust")
    assert code == 0
    assert target.read_text() == "written"
