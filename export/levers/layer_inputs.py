"""What layers' inputs are like: their means and second moments, from images."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_effnet.export import flatbuffer
from keras_effnet.export.watching import Watched

# Positions of a layer's output whose inputs are looked at, in all images together.
_POSITIONS = {"DEPTHWISE_CONV_2D": 2048}
_MOST_POSITIONS = 8192
# Rows multiplied at once.
_ROWS = 512


def second_moments(data, net, nodes, images, seed=0):
    """Means and second moments of what the kernels of layers, nodes of a float file's
    network, meet in `(images, height, width, channels)`.

    For each node, of every other image, then of the rest if there is one, `(mean,
    second moments)`, float64, `(groups, columns)` and `(groups, columns, columns)`: a
    column for each weight of an output channel. A depthwise convolution has a group for
    each input channel, others one. `seed` is of the choice of positions.
    """
    images = np.asarray(images, np.float32)
    random = np.random.default_rng(seed)
    sums = [(_Sum(), _Sum()) for _ in nodes]
    read = sorted({node.inputs[0] for node in nodes} - {net.source})
    file = Watched(flatbuffer.unpack(data), read, 2)
    for number, image in enumerate(images):
        file.run(image[None])
        for node, halves in zip(nodes, sums, strict=True):
            value = file.interpreter.get_tensor(node.inputs[0])
            share = -(-_POSITIONS.get(node.operator, _MOST_POSITIONS) // len(images))
            halves[number % 2].add(_windows(net, node, value, share, random))
    return [[half.result() for half in halves[: len(images)]] for halves in sums]


def shrunken(halves, centred):
    """What can be trusted of second moments: the more chance, the less off-diagonal.

    As Ledoit and Wolf 2004 ("A well-conditioned estimator for large-dimensional
    covariance matrices") weigh a covariance against a target without correlations, but
    for the estimate of chance, which is the difference between two halves of the
    images: positions of one image aren't independent. Of their weight the root is
    taken: a heuristic, read off a Lite0, whose wide late layers erred less on other
    photographs with more than that weight.

    `halves` are two `(mean, second moments)`, of different images, or one, and so is
    what returns, where `centred` with the mean taken out.
    """
    mean = sum(half[0] for half in halves) / len(halves)
    moments = sum(half[1] for half in halves) / len(halves)
    if centred:
        # What the float sums leave of columns that hardly vary.
        power = np.einsum("gkk->g", moments) * np.finfo(np.float32).eps
        moments = moments - mean[:, :, None] * mean[:, None, :]
        moments += power[:, None, None] * np.eye(moments.shape[1])
    off = 1 - np.eye(moments.shape[1])
    chance = 1.0
    if len(halves) == 2:
        differ = [
            half[1] - centred * half[0][:, :, None] * half[0][:, None, :]
            for half in halves
        ]
        noise = np.sum(((differ[0] - differ[1]) * off) ** 2) / 4
        signal = np.sum((moments * off) ** 2)
        chance = min(1.0, np.sqrt(noise / signal)) if signal else 0.0
    return mean, moments * (1 - chance * off)


class _Sum:
    """Means and second moments of rows that come in small portions."""

    def __init__(self):
        self._waiting, self._count = [], 0
        self._mean = self._moments = 0.0

    def add(self, rows):
        """Takes in `(groups, rows, columns)`."""
        self._waiting.append(rows)
        if sum(part.shape[1] for part in self._waiting) >= _ROWS:
            self._flush()

    def _flush(self):
        rows = np.concatenate(self._waiting, axis=1)
        self._waiting = []
        self._count += rows.shape[1]
        self._mean = self._mean + rows.sum(axis=1, dtype=np.float64)
        self._moments = self._moments + np.swapaxes(rows, 1, 2) @ rows

    def result(self):
        """`(mean, second moments)`."""
        if self._waiting:
            self._flush()
        return self._mean / self._count, np.float64(self._moments) / self._count


def _windows(net, node, value, positions, random):
    """What the kernel meets at random positions: `(groups, positions, columns)`."""
    kernel = net.shapes[node.inputs[1]]
    if node.operator == "FULLY_CONNECTED":
        rows = value.reshape(-1, kernel[-1])
        picked = (
            random.integers(0, len(rows), positions) if len(rows) > positions else ...
        )
        return np.array(rows[picked])[None]
    options = node.options
    _, height, width, _ = net.shapes[node.output]
    down = random.integers(0, height, positions)
    right = random.integers(0, width, positions)
    if height * width <= positions:
        down, right = (side.ravel() for side in np.mgrid[:height, :width])
    same = options.padding == schema.Padding.SAME
    y, inside_y = _offsets(
        down, value.shape[1], height, kernel[1], options.strideH,
        options.dilationHFactor, same,
    )  # fmt: skip
    x, inside_x = _offsets(
        right, value.shape[2], width, kernel[2], options.strideW,
        options.dilationWFactor, same,
    )  # fmt: skip
    found = value[0][y[:, :, None], x[:, None, :]]
    found *= (inside_y[:, :, None] & inside_x[:, None, :])[..., None]
    found = found.reshape(len(y), -1, value.shape[3])
    if node.operator == "DEPTHWISE_CONV_2D":
        return np.ascontiguousarray(found.transpose(2, 0, 1))
    return found.reshape(1, len(y), -1)


def _offsets(starts, size, outputs, width, stride, dilation, same):
    """Input rows (or columns) of windows, `(positions, width)`, and which are real."""
    before = 0
    if same:
        spread = (width - 1) * dilation + 1
        before = max((outputs - 1) * stride + spread - size, 0) // 2
    index = starts[:, None] * stride - before + np.arange(width) * dilation
    return np.clip(index, 0, size - 1), (index >= 0) & (index < size)
