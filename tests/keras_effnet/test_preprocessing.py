"""The normalisation in a graph, by the arithmetic that it stands for."""

import keras
import numpy as np
import pytest

from keras_effnet.preprocessing import normalize
from keras_effnet.rule import Preprocessing


@pytest.mark.parametrize("values", [((7.0,), (9.0,)), ((1.0, 2.0, 3.0), (4, 5, 6))])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_each_channel_has_its_own_mean(data_format, values):
    """Of as many columns as channels: a mean along the wrong axis would fit, too."""
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 3, 3)).astype("float32")
    expected = (images - np.array(values[0])) / np.array(values[1])
    order = (0, 3, 1, 2) if data_format == "channels_first" else (0, 1, 2, 3)
    keras.config.set_image_data_format(data_format)
    try:
        inputs = keras.Input([(8, 3, 3)[axis - 1] for axis in order[1:]])
        model = keras.Model(inputs, normalize(inputs, Preprocessing(*values)))
        copy = keras.Model.from_config(model.get_config())
    finally:
        keras.config.set_image_data_format("channels_last")
    for each in (model, copy):
        found = np.asarray(each(images.transpose(order)))
        assert found == pytest.approx(expected.transpose(order), rel=1e-5, abs=1e-5)
