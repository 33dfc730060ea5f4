"""The recipe `mnist`: from IDX files and from TensorFlow Datasets."""

import numpy as np
import pytest

from keras_effnet.data.formats import open_source
from keras_effnet.data.split import train_and_validation
from keras_effnet.training.recipes import get_recipe
from keras_effnet.training.running import train

pytest.importorskip("sklearn", reason="scikit-learn is not installed")


@pytest.fixture(scope="module")
def idx_files(tmp_path_factory):
    from keras_effnet.benchmarks.studies import mnist

    folder = tmp_path_factory.mktemp("idx")
    mnist.write_digits(folder)
    return folder


@pytest.fixture(scope="module")
def prepared(idx_files, tmp_path_factory):
    """The same digits as `tfds:mnist`, prepared here."""
    pytest.importorskip("tensorflow_datasets", reason="TFDS is not installed")
    from test_tfds import prepared_mnist

    splits = {
        split: [
            {"image": row["image"], "label": row["label"]}
            for row in open_source(idx_files, split).dataset().as_numpy_iterator()
        ]
        for split in ("train", "test")
    }
    return prepared_mnist(tmp_path_factory.mktemp("tfds"), splits)


@pytest.mark.slow
def test_from_idx_files_and_from_tfds(idx_files, prepared, tmp_path):
    pairs = {
        "idx": train_and_validation(idx_files),
        "tfds": train_and_validation("tfds:mnist", data_dir=prepared),
    }
    for name, (source, validation) in pairs.items():
        assert (source.count, validation.count) == (1437, 360)
        recipe = get_recipe("mnist", width=0.25, depth=0.25, epochs=1)
        some = source.subset("some", np.arange(source.count) < 200)
        found = train(recipe, some, validation, tmp_path / name, bars=False)
        assert found.probabilities.shape == (360, 10)
        assert found.top1 > 0.05
    mine, other = (pair[0] for pair in pairs.values())
    assert mine.class_names == other.class_names
    np.testing.assert_array_equal(mine.class_counts, other.class_counts)


@pytest.mark.slow
def test_most_digits_are_read(idx_files, tmp_path):
    """Of 1,437 digits and not 60,000: the recipe as it is."""
    source, validation = train_and_validation(idx_files)
    recipe = get_recipe("mnist", images=source.count)
    found = train(recipe, source, validation, tmp_path, bars=False)
    assert found.top1 >= 0.97
