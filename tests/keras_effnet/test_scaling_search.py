"""The grid search of α, β and γ, against the grid counted in whole numbers and
searches whose outcome is known beforehand."""

import dataclasses
import json
import re

import keras
import matplotlib.image
import numpy as np
import pytest
from conftest import ROOT

from keras_effnet import scaling_search
from keras_effnet.analysis import build_without_weights
from keras_effnet.costs import spec_costs
from keras_effnet.errors import InputError
from keras_effnet.scaling import compound_scale
from keras_effnet.scaling import scaled_spec
from keras_effnet.specs import SPECS

B0 = SPECS["EfficientNetB0"]
PAPER = (1.2, 1.1, 1.15)


def distance(spec):
    """Highest at the paper's coefficients, and nowhere else on the grid."""
    found = (spec.depth, spec.width, spec.image_size / 224)
    return -sum((x - y) ** 2 for x, y in zip(found, PAPER, strict=True))


def depth(spec):
    return spec.depth


class Counting:
    """Scores like `distance` and stops working after `limit` calls."""

    def __init__(self, limit=None):
        self.specs = []
        self.limit = limit

    def __call__(self, spec):
        if len(self.specs) == self.limit:
            raise RuntimeError("power cut")
        self.specs.append(spec)
        return distance(spec)


def test_the_grid_is_every_point_of_the_constraint():
    """In whole twentieths: |a b² c² - 2 · 20⁵| ≤ 20⁵ / 10."""
    expected = {
        (a / 20, b / 20, c / 20)
        for a in range(20, 50)
        for b in range(20, 50)
        for c in range(20, 50)
        if abs(a * b**2 * c**2 - 2 * 20**5) <= 20**5 // 10
    }
    assert set(scaling_search.grid()) == expected
    assert len(scaling_search.grid()) == len(expected)
    assert PAPER in expected


def test_a_point_at_the_tolerance_is_on_the_grid():
    points = scaling_search.grid(step=0.1, tolerance=0.1)
    assert (1.9, 1.0, 1.0) in points
    assert (2.1, 1.0, 1.0) in points
    assert scaling_search.grid(step=1, tolerance=0) == ((2.0, 1.0, 1.0),)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": 0}, "`step`.*0.01 to 1.*Received: step=0$"),
        ({"step": float("nan")}, "`step`.*Received: step=nan"),
        ({"tolerance": -0.1}, "`tolerance`.*Received: tolerance=-0.1"),
        ({"tolerance": 1}, "`tolerance`.*below 1.*Received: tolerance=1$"),
        ({"step": 0.7, "tolerance": 0.01}, "smaller step.*Received: step=0.7"),
    ],
)
def test_impossible_grids_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        scaling_search.grid(**arguments)


def test_the_best_comes_first():
    results = scaling_search.search(distance)
    assert results[0].coefficients == PAPER
    assert len(results) == len(scaling_search.grid())
    scores = [result.score for result in results]
    assert scores == sorted(scores, reverse=True)
    best = compound_scale(1, *PAPER)
    assert results[0].score == distance(best)
    assert results[0].multiply_adds == spec_costs(best).multiply_adds


def test_every_base_can_be_scaled():
    base = scaled_spec("EfficientNetLite0", width=0.5, image_size=64)
    score = Counting()
    scaling_search.search(score, base, step=0.1)
    assert {spec.family for spec in score.specs} == {"lite"}
    assert {spec.image_size for spec in score.specs} == {
        round(64 * x) for x in (1, 1.1, 1.2, 1.3, 1.4)
    }


def test_equal_networks_are_scored_once():
    """Told apart here by the layers that Keras builds. One stage, to be quick."""
    base = dataclasses.replace(B0, stages=B0.stages[:1])
    count = iter(range(100))
    results = scaling_search.search(lambda spec: next(count), base, step=0.1)
    built = {result.score: set() for result in results}
    for result in results:
        spec = compound_scale(1, *result.coefficients, base)
        model = build_without_weights(spec)
        built[result.score].add(
            tuple((layer.name, layer.output.shape) for layer in model.layers[1:])
        )
    assert all(len(networks) == 1 for networks in built.values())
    assert len(set().union(*built.values())) == len(built) < len(results)
    assert next(count) == len(built)


def test_a_stopped_search_goes_on(tmp_path):
    state = tmp_path / "made" / "search.json"
    with pytest.raises(RuntimeError, match="power cut"):
        scaling_search.search(Counting(limit=5), step=0.1, state=state)
    kept = json.loads(state.read_text())["evaluations"]
    assert len(kept) == 5
    rest = Counting()
    seen = []
    results = scaling_search.search(rest, step=0.1, state=state, progress=seen.append)
    whole = Counting()
    assert results == scaling_search.search(whole, step=0.1)
    assert rest.specs == whole.specs[5:]
    total = len(whole.specs)
    assert seen[0] == f"{total} different networks, 5 of them scored before"
    done = [line.split()[0] for line in seen[1:]]
    assert done == [f"{number}/{total}" for number in range(6, total + 1)]
    assert f"score {distance(rest.specs[0]):.6g}" in seen[1]
    assert [path.name for path in state.parent.iterdir()] == ["search.json"]


def test_a_finished_search_is_only_read(tmp_path):
    state = tmp_path / "search.json"
    first = scaling_search.search(Counting(), step=0.1, state=state)
    assert first == scaling_search.search(Counting(limit=0), step=0.1, state=state)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"step": 0.2}, "`step` is 0.1, not 0.2"),
        ({"tolerance": 0.2}, "`tolerance` is 0.1, not 0.2"),
        ({"score": depth}, "`score` is '.*distance', not '.*depth'"),
        ({"base": SPECS["EfficientNetLite0"]}, "`base.name` is 'EfficientNetB0', not"),
        ({"base": dataclasses.replace(B0, stem_filters=24)}, "`base.stem_filters` is"),
    ],
)
def test_a_state_of_another_search_is_refused(tmp_path, other, message):
    state = tmp_path / "search.json"
    arguments = {"score": distance, "step": 0.1}
    scaling_search.search(**arguments, state=state)
    before = state.read_text()
    with pytest.raises(InputError, match=f"{message}.*Received: '.*search.json'"):
        scaling_search.search(**{**arguments, **other}, state=state)
    assert state.read_text() == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"settings": 3, "evaluations": []}',
        b'{"settings": {}, "evaluations": [{"alpha": 1}]}',
        b'{"settings": {}}',
    ],
)
def test_a_file_that_is_no_state_is_refused_and_kept(tmp_path, content):
    state = tmp_path / "search.json"
    state.write_bytes(content)
    with pytest.raises(InputError, match=r"no state file.*Received: '.*search\.json'"):
        scaling_search.search(distance, state=state)
    assert state.read_bytes() == content


def test_a_state_that_cannot_be_written_shows_before_the_first_training(tmp_path):
    (tmp_path / "file").touch()
    score = Counting(limit=0)
    with pytest.raises(InputError, match="can't be written"):
        scaling_search.search(score, state=tmp_path / "file" / "search.json")
    with pytest.raises(InputError, match="can't be read"):
        scaling_search.search(score, state=tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "good", [1, 2]])
def test_a_score_must_be_a_finite_number(tmp_path, value):
    state = tmp_path / "search.json"
    results = iter([0.5, 0.25])

    def score(spec):
        return next(results, value)

    with pytest.raises(InputError, match=r"finite number.*Received: .* for α=1\.0"):
        scaling_search.search(score, step=0.1, state=state)
    kept = json.loads(state.read_text())["evaluations"]
    assert [row["score"] for row in kept] == [0.5, 0.25]


def test_scores_of_arrays_and_tensors_are_numbers():
    for number in (np.float32(0.5), keras.ops.convert_to_tensor(0.5), 1):
        results = scaling_search.search(lambda spec, x=number: x, step=1, tolerance=0)
        assert results[0].score == float(number)


def test_the_plot_shows_every_candidate_and_marks_the_best(tmp_path):
    results = scaling_search.search(distance)
    figure = scaling_search.plot(results)
    plane, work, bar = figure.axes
    points, ring = plane.collections
    places = [tuple(place) for place in points.get_offsets()]
    assert len(set(places)) == len(places) == len(results)
    assert sorted(points.get_array()) == sorted(x.score for x in results)
    # The last is drawn above the others.
    assert points.get_array()[-1] == results[0].score
    assert tuple(ring.get_offsets()[0]) == places[-1]
    assert places[-1] == pytest.approx((1.2, 1.1), abs=0.025)
    assert "α = 1.2, β = 1.1, γ = 1.15" in plane.get_title()
    assert tuple(work.collections[1].get_offsets()[0]) == (
        results[0].multiply_adds / 1e9,
        results[0].score,
    )
    assert bar.get_ylabel() == "score"
    figure.savefig(tmp_path / "search.png")
    pixels = matplotlib.image.imread(tmp_path / "search.png")
    assert pixels.shape[:2] == (2000, 1237)
    # Nothing touches the border: no label is cut off.
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 1).all()


def test_one_candidate_can_be_drawn(tmp_path):
    results = scaling_search.search(distance, step=1, tolerance=0)
    scaling_search.plot(results).savefig(tmp_path / "search.png")
    assert (tmp_path / "search.png").stat().st_size > 10_000


def documented_python():
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_documented_snippets_run(capsys):
    formula, numbers, _ = documented_python()
    found = {}
    exec(formula, found)
    assert found["model"].count_params() < 9_177_562  # of 1000 classes
    exec(numbers, found)
    assert (
        f"total_parameters={found['model'].count_params()}," in capsys.readouterr().out
    )


@pytest.mark.slow
def test_the_documented_score_function_learns():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    found = {}
    exec(documented_python()[-1], found)
    assert (
        found["accuracy"](compound_scale(1, *PAPER, SPECS["EfficientNetLite0"])) > 0.5
    )
