"""mixup and CutMix of batches: pixels and labels keep the same shares."""

import numpy as np
import pytest
import tensorflow as tf

from keras_effnet.data import mix

SEED = tf.constant([3, 4])
NEIGHBOUR = np.arange(8) ^ 1


@pytest.fixture
def batch():
    """Eight flat images, each with its own value, and their classes."""
    values = np.arange(8) * 30.0
    images = np.broadcast_to(values[:, None, None, None], (8, 40, 50, 3))
    return tf.constant(images.astype(np.uint8)), tf.eye(8)


def test_without_alphas_nothing_changes(batch):
    images, labels = mix.mix(*batch, SEED)
    assert images.dtype == tf.float32
    assert (images.numpy() == batch[0].numpy()).all()
    assert (labels.numpy() == batch[1].numpy()).all()


@pytest.mark.parametrize("alphas", [(0.3, 0.0), (0.0, 1.0), (0.3, 1.0)])
def test_labels_tell_the_share_of_each_image(batch, alphas):
    images, labels = mix.mix(*batch, SEED, *alphas)
    assert images.shape == batch[0].shape
    np.testing.assert_allclose(labels.numpy().sum(1), 1, atol=1e-6)
    values = batch[0].numpy()[:, 0, 0, 0].astype(float)
    np.testing.assert_allclose(
        images.numpy().mean((1, 2, 3)), labels.numpy() @ values, atol=1e-2
    )
    assert (labels.numpy().max(1) < 1).any()


def test_mixup_meets_the_neighbour_and_keeps_the_larger_share(batch):
    images, labels = mix.mix(*batch, SEED, mixup_alpha=0.5)
    labels = labels.numpy()
    own = np.diag(labels)
    assert (own >= 0.5).all()
    assert len(np.unique(own)) > 4
    np.testing.assert_allclose(labels[np.arange(8), NEIGHBOUR], 1 - own, atol=1e-6)
    assert (images.numpy() == images.numpy()[:, :1, :1]).all()


def test_cutmix_cuts_one_rectangle(batch):
    images, labels = mix.mix(*batch, SEED, cutmix_alpha=1.0)
    values = batch[0].numpy()[:, 0, 0, 0]
    sizes = []
    for image, own, other, label in zip(
        images.numpy(), values, values[NEIGHBOUR], labels.numpy(), strict=True
    ):
        assert set(np.unique(image)) <= {own, other}
        rows, columns = np.nonzero(image[..., 0] == other)
        if len(rows):
            spans = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
            assert len(rows) == spans
        sizes.append(len(rows))
        assert label.max() == pytest.approx(max(len(rows) / 2000, 1 - len(rows) / 2000))
    assert len(set(sizes)) > 4


def test_both_take_half_of_the_batch_each(batch):
    images, labels = mix.mix(*batch, SEED, 0.5, 1.0)
    flat = (images.numpy() == images.numpy()[:, :1, :1]).all((1, 2, 3))
    assert flat[:4].all()
    assert not flat[4:].all()
    # Nobody meets an image of the other half.
    assert not labels.numpy()[:4, 4:].any()
    assert not labels.numpy()[4:, :4].any()


@pytest.mark.parametrize("alphas", [(0.3, 0.0), (0.0, 1.0), (0.3, 1.0)])
@pytest.mark.parametrize("size", [2, 4])
def test_parts_are_mixed_as_the_whole(batch, alphas, size):
    whole = mix.mix(*batch, SEED, *alphas)
    parts = [
        mix.mix(*(t[row : row + size] for t in batch), SEED, *alphas, rows=(row, 8))
        for row in range(0, 8, size)
    ]
    for together, *pieces in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(together, np.concatenate(pieces))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_symmetric_beta(alpha):
    draws = mix.symmetric_beta(20_000, SEED, alpha).numpy()
    assert draws.dtype == np.float32
    assert (draws >= 0).all()
    assert (draws <= 1).all()
    assert draws.mean() == pytest.approx(0.5, abs=0.01)
    assert draws.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)


def test_a_tiny_alpha_gives_no_nan():
    assert np.isfinite(mix.symmetric_beta(1000, SEED, 1e-4).numpy()).all()


def test_the_seed_decides(batch):
    first, again, other = (
        mix.mix(*batch, seed, 0.5, 1.0)[0].numpy() for seed in (SEED, SEED, SEED + 1)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_in_a_dataset_of_an_odd_batch(batch):
    images, labels = (tensor[:7] for tensor in batch)
    data = tf.data.Dataset.from_tensors((images, labels))
    data = data.map(lambda x, y: mix.mix(x, y, SEED, 0.5, 1.0))
    assert data.element_spec[0].shape == (7, 40, 50, 3)
    ((mixed, shares),) = data
    assert np.isfinite(mixed.numpy()).all()
    np.testing.assert_allclose(shares.numpy().sum(1), 1, atol=1e-6)
