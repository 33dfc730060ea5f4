"""What is measured of exported files together."""

import types

from keras_effnet.export import latency
from keras_effnet.sheet import Latency


def test_the_float_file_is_not_held_against_itself(monkeypatch):
    def file(precision):
        with_sheet = lambda latency: (precision, latency.float_median_ms)  # noqa: E731
        return types.SimpleNamespace(
            path=precision, precision=precision, with_sheet=with_sheet
        )

    monkeypatch.setattr(
        latency,
        "host_latency",
        lambda paths, **options: [Latency(median_ms=len(path)) for path in paths],
    )
    found = latency.measure([file("float32"), file("int8")])
    assert found == [("float32", None), ("int8", 7)]
