"""Several devices learn what one does, image by image."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from test_training import some_digits

from keras_effnet.data import pipeline
from keras_effnet.errors import InputError
from keras_effnet.preprocessing import Preprocessing
from keras_effnet.training import loop
from keras_effnet.training.batch_norm import GroupedBatchNormalization
from keras_effnet.training.devices import Devices
from keras_effnet.training.devices import open_devices
from keras_effnet.training.recipes import get_recipe
from keras_effnet.training.stages import stages

RULE = Preprocessing((127.0,) * 3, (128.0,) * 3)
SCRIPT = pathlib.Path(__file__).parents[2] / "scripts/device_trace.py"


def _traces(backend, *arguments):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# JAX's devices are those of its processes, which test_machines.py runs.
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_learn_as_one(backend):
    one, two = _traces(backend)
    assert len(one["loss"]) == 2 * 6
    # Sums in another order; what the rounding makes grows with every step.
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-5)
    np.testing.assert_allclose(two["val_loss"], one["val_loss"], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_statistics_of_each_device_are_others(backend):
    one, two = _traces(backend, "--per-replica")
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-2)
    assert not np.allclose(two["loss"], one["loss"], rtol=1e-5)


def test_grouped_statistics_are_those_of_each_group():
    images = np.random.default_rng(0).normal(3, 2, (6, 5, 4, 7)).astype("float32")
    grouped = GroupedBatchNormalization(3, momentum=0.9)
    alone = [keras.layers.BatchNormalization(momentum=0.9) for _ in range(3)]
    found = grouped(images, training=True)
    wanted = [
        layer(images[2 * i : 2 * i + 2], training=True) for i, layer in enumerate(alone)
    ]
    np.testing.assert_allclose(found, np.concatenate(wanted), atol=1e-5)
    for name in ("moving_mean", "moving_variance"):
        mean = np.mean([getattr(layer, name) for layer in alone], axis=0)
        np.testing.assert_allclose(getattr(grouped, name), mean, rtol=1e-5)
    # Afterwards it is a common one.
    np.testing.assert_allclose(
        grouped(images),
        (images - np.asarray(grouped.moving_mean))
        / np.sqrt(np.asarray(grouped.moving_variance) + grouped.epsilon),
        atol=1e-5,
    )


def test_the_parts_of_the_batches_are_the_batches():
    source, _ = some_digits(70, 1)
    recipe = get_recipe(
        "digits", batch_size=16, mixup_alpha=(0.2, 0.2), cutmix_alpha=(1.0, 1.0)
    )
    arguments = source, recipe, stages(recipe)[0], RULE
    whole = pipeline.TrainingBatches(*arguments)
    parts = [pipeline.TrainingBatches(*arguments, part=(i, 2)) for i in range(2)]
    assert {part.steps_per_epoch for part in parts} == {70 // 16}
    for first_step in (0, 2):
        streams = [part.epoch(1, first_step) for part in parts]
        steps = 0
        for batch, *pieces in zip(whole.epoch(1, first_step), *streams, strict=True):
            for together, *shares in zip(batch, *pieces, strict=True):
                assert all(len(share) == 8 for share in shares)
                np.testing.assert_allclose(
                    np.concatenate(shares), together, rtol=1e-6, atol=1e-3
                )
            steps += 1
        assert steps == 4 - first_step


@pytest.mark.parametrize("count", [1, 8, 13, 16])
def test_parts_of_an_evaluation_see_each_image_once(count):
    source, _ = some_digits(count, 1)
    rule = dataclasses.replace(RULE, crop_padding=None)
    whole = np.concatenate(
        [images for images, _ in pipeline.evaluation_batches(source, 16, rule, 8)]
    )
    labels, weights, images = [], [], []
    for number in range(2):
        part = pipeline.evaluation_batches(source, 16, rule, 8, part=(number, 2))
        batches = list(part)
        assert len(batches) == -(-count // 8)
        for pixels, classes, weight in batches:
            assert pixels.shape == (4, 16, 16, 3)
            images.append(pixels[weight > 0])
            labels.append(classes[weight > 0])
            weights.append(weight)
            assert not np.any(classes[weight == 0])
    assert np.sum(np.concatenate(weights)) == count
    assert sorted(map(bytes, np.concatenate(images))) == sorted(map(bytes, whole))
    np.testing.assert_array_equal(
        np.concatenate(labels).sum(0), np.bincount(source.labels, minlength=10)
    )


def test_a_batch_must_be_divisible(tmp_path):
    devices = Devices()
    devices.replicas, devices.part = 3, (0, 3)
    digits = some_digits(64, 8)
    with pytest.raises(
        InputError, match=r"multiple of 6 on 3 devices.*Received: 16 images"
    ):
        loop.Training(
            get_recipe("digits", batch_size=16), *digits, tmp_path, devices=devices
        )


def test_open_devices_refuses():
    with pytest.raises(InputError, match=r"at least 1\. Received: 0"):
        open_devices(0)
    keras.ops.ones(()) + 1
    with pytest.raises(InputError, match="before TensorFlow has computed"):
        open_devices(3)
    assert open_devices().replicas == 1
