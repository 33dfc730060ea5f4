"""Step one of compound scaling: the grid search of α, β and γ.

Tan and Le 2019, Section 3.3: with φ = 1, twice the resources of the base
network, find the best α (depth), β (width) and γ (image size) under
α · β² · γ² ≈ 2; for B0 they found 1.2, 1.1 and 1.15. What "best" means is a
function of yours, most often accuracy after a training.
"""

import dataclasses
import itertools
import json
import math
import os
import pathlib
import reprlib
import time
from collections.abc import Callable
from typing import Any
from typing import NamedTuple

from keras_effnet import files
from keras_effnet import scaling
from keras_effnet.costs import spec_costs
from keras_effnet.errors import InputError
from keras_effnet.errors import explained
from keras_effnet.progress import silent
from keras_effnet.score_function import load_function
from keras_effnet.specs import SPECS
from keras_effnet.specs import ModelSpec

_TARGET = 2.0


class Coefficients(NamedTuple):
    """Bases of depth, width and image size, for `scaling.compound_scale`."""

    alpha: float
    beta: float
    gamma: float


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One point of the grid and what became of it.

    Attributes:
        coefficients: Its α, β and γ.
        score: What the score function returned.
        multiply_adds: Of the real network, for one image and 1000 classes.
            Blocks come in whole numbers, rounded up, and channels in eights:
            it can be far from twice the base's.
    """

    coefficients: Coefficients
    score: float
    multiply_adds: int


def grid(step: float = 0.05, tolerance: float = 0.1) -> tuple[Coefficients, ...]:
    """All α, β, γ of at least 1 with |α · β² · γ² - 2| ≤ `tolerance`.

    Args:
        step: Between neighbours, 0.01 to 1. The paper's result is on the grid
            of the defaults, which has 111 points.
        tolerance: At least 0 and below 1.

    Returns:
        A tuple of `Coefficients`, in rising order.

    Raises:
        InputError: An argument is impossible, or the grid is empty.
    """
    if not 0.01 <= step <= 1:
        raise InputError(f"`step` must be from 0.01 to 1. Received: step={step!r}")
    if not 0 <= tolerance < 1:
        raise InputError(
            f"`tolerance` must be at least 0 and below 1. "
            f"Received: tolerance={tolerance!r}"
        )
    largest = _TARGET + tolerance
    alphas = _from_one(largest, step)
    others = _from_one(math.sqrt(largest), step)
    found = tuple(
        Coefficients(alpha, beta, gamma)
        for alpha, beta, gamma in itertools.product(alphas, others, others)
        if abs(alpha * beta**2 * gamma**2 - _TARGET) <= tolerance + 1e-9
    )
    if not found:
        raise InputError(
            "No α, β, γ of this grid fulfil α · β² · γ² ≈ 2: take a smaller step or "
            f"a larger tolerance. Received: step={step!r}, tolerance={tolerance!r}"
        )
    return found


def _from_one(largest: float, step: float) -> list[float]:
    count = math.floor((largest - 1) / step + 1e-9) + 1
    # 1.15, not 1.1500000000000001: people read these, and JSON keeps them.
    return [round(1 + index * step, 10) for index in range(count)]


def search(
    score: Callable[[ModelSpec], float] | str,
    base: ModelSpec = SPECS["EfficientNetB0"],
    *,
    step: float = 0.05,
    tolerance: float = 0.1,
    state: str | os.PathLike | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Candidate]:
    """Scores every network of the grid.

    Points of the grid that round to the same network share one evaluation.

    Args:
        score: A function from a `ModelSpec`, the base scaled with φ = 1, to a
            finite number, the higher the better; or its name,
            `"my_score:accuracy"` for `accuracy` in my_score.py of this folder.
        base: The `ModelSpec` to scale.
        step: As for `grid`.
        tolerance: As for `grid`.
        state: Path of a JSON file that keeps the scores. It is written after
            each evaluation, whole or not at all; a search that finds it goes on
            where the last one stopped.
        progress: Called with a line of text at the start and after each evaluation;
            `None` for silence.

    Returns:
        A list of `Candidate`, best first, and equal ones in rising order.

    Raises:
        InputError: The state file is of another search or can't be read or
            written, a score is no finite number, or the grid is impossible.
    """
    candidates = grid(step, tolerance)
    function = load_function(score) if isinstance(score, str) else score
    specs = {point: scaling.compound_scale(1, *point, base) for point in candidates}
    settings = _settings(function, base, step, tolerance)
    state = None if state is None else pathlib.Path(state)
    kept = _read(state, settings)
    # Before the first training: that it can't be written should show now.
    _write(state, settings, kept)
    scores = {
        _network(specs[point]): number
        for point, number in kept.items()
        if point in specs
    }
    networks = len({_network(spec) for spec in specs.values()})
    tell, started, before = progress or silent, time.monotonic(), len(scores)
    tell(
        f"{networks} different networks"
        + (f", {before} of them scored before" if before else "")
    )
    results = []
    for point, spec in specs.items():
        network = _network(spec)
        is_new = network not in scores
        if is_new:
            scores[network] = _finite(function(spec), point)
            kept[point] = scores[network]
            _write(state, settings, kept)
        result = Candidate(point, scores[network], spec_costs(spec).multiply_adds)
        results.append(result)
        if is_new:
            passed = (time.monotonic() - started) / (len(scores) - before)
            tell(_line(result, len(scores), networks, passed))
    return sorted(results, key=lambda result: -result.score)


def _line(result: Candidate, done: int, networks: int, seconds_of_one: float) -> str:
    left = networks - done
    return (
        f"{done}/{networks}  "
        + "  ".join(
            f"{name} {value:g}" for name, value in result.coefficients._asdict().items()
        )
        + f"  score {result.score:.6g}"
        + (f"  about {_duration(left * seconds_of_one)} left" if left else "")
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _network(spec: ModelSpec) -> tuple:
    """What is built of a spec: equal for coefficients that round to the same."""
    return (
        spec.image_size,
        scaling.stem_filters(spec),
        scaling.scaled_stages(spec),
        scaling.top_filters(spec),
    )


def _finite(value: Any, point: Coefficients) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(
            "The score function must return a finite number, the higher the better. "
            f"Received: {value!r} for α={point.alpha}, β={point.beta}, γ={point.gamma}"
        )
    return number


def _settings(
    score: Callable, base: ModelSpec, step: float, tolerance: float
) -> dict[str, Any]:
    # A callable object, `functools.partial` for one, has no name of its own.
    name = getattr(score, "__qualname__", type(score).__qualname__)
    settings = {
        "score": f"{score.__module__}:{name}",
        "step": step,
        "tolerance": tolerance,
        **{f"base.{key}": x for key, x in dataclasses.asdict(base).items()},
    }
    # As it will come back from the file: tuples are lists there.
    return json.loads(json.dumps(settings))


def plot(results: list[Candidate]) -> Any:
    """Scores over depth and width, and over the work of the real networks.

    Args:
        results: What `search` returned.

    Returns:
        A `matplotlib.figure.Figure`; its `savefig` writes a PNG.
    """
    from keras_effnet.report import charts

    # The best is drawn last.
    ascending = results[::-1]
    alpha, beta, gamma = results[0].coefficients
    work = [result.multiply_adds / 1e9 for result in ascending]
    return charts.scored_plane(
        ("α, depth", "β, width", _places(ascending)),
        (
            "Work after rounding to whole blocks",
            "multiply-adds of the real network (10⁹)",
            work,
        ),
        [result.score for result in ascending],
        dict(map(_gamma_line, (1.0, 1.1, 1.2, 1.3, 1.4))),
        f"Best: α = {alpha:g}, β = {beta:g}, γ = {gamma:g}, "
        f"score {results[0].score:.4g}",
    )


def _places(results: list[Candidate]) -> list[tuple[float, float]]:
    """Points in the α-β plane; γ, which the two leave little choice, only moves
    those aside that would hide each other."""
    gammas: dict[tuple, list[float]] = {}
    for point in sorted(result.coefficients for result in results):
        gammas.setdefault(point[:2], []).append(point.gamma)
    betas = sorted({result.coefficients.beta for result in results})
    row = min((b - a for a, b in itertools.pairwise(betas)), default=0.1)
    places = []
    for result in results:
        alpha, beta, gamma = result.coefficients
        here = gammas[alpha, beta]
        aside = (here.index(gamma) + 0.5) / len(here) - 0.5
        places.append((alpha, beta + 0.7 * row * aside))
    return places


def _gamma_line(gamma: float) -> tuple[str, list[tuple[float, float]]]:
    """Its name, and the points of the plane that it leaves: from β = 1 to α = 1."""
    widest = math.sqrt(_TARGET) / gamma
    betas = [1 + (widest - 1) * part / 50 for part in range(51)]
    return f"γ = {gamma:g}", [(_TARGET / (beta * gamma) ** 2, beta) for beta in betas]


def _read(
    path: pathlib.Path | None, settings: dict[str, Any]
) -> dict[Coefficients, float]:
    """The scores by point that a state file keeps; none where there is no file."""
    if path is None or not path.exists():
        return {}
    content: Any = files.read_json(path)
    message = "This is no state file of a search, or it can't be read: {}."
    with explained(message, path):
        kept = dict(content["settings"])
        scores = {
            Coefficients(*(row[name] for name in Coefficients._fields)): float(
                row["score"]
            )
            for row in content["evaluations"]
        }
    for label in settings | kept:
        old, new = kept.get(label), settings.get(label)
        if old != new:
            raise InputError(
                f"The state file is of another search: its `{label}` is "
                f"{reprlib.repr(old)}, not {reprlib.repr(new)}. Name another file. "
                f"Received: {str(path)!r}"
            )
    return scores


def _write(
    path: pathlib.Path | None,
    settings: dict[str, Any],
    scores: dict[Coefficients, float],
) -> None:
    if path is not None:
        rows = [{**point._asdict(), "score": x} for point, x in scores.items()]
        content = {"settings": settings, "evaluations": rows}
        files.write_text(path, json.dumps(content, indent=1) + "\n")
