"""The pictures of a search: what each file costs and loses, and which operators the
precision matters to. Candidates are dicts, as `Result.candidates`; operators as
`search.json` has them under `sensitivity`."""

import math

from keras_effnet.report import charts

# In the order of the colours.
_PRECISIONS = ("int8", "float32", "weight-only", "float16")
_YLABELS = {"accuracy": "top-1 accuracy", "agreement": "agreement with float"}
_WORST = 10
_PARTS = ("activation", "kernel")


def measured(candidate, measure):
    """A candidate's `(share, (low, high))`, fractions, `None` if not measured.

    The interval of an accuracy is the float model's less the paired interval of the
    drop: it stands to the limit as the drop's does.
    """
    found = candidate.get("evaluation")
    if not found:
        return None
    if measure == "agreement":
        return found["agreement"], tuple(found["agreement_interval"])
    if found.get("top1") is None:
        return None
    low, high = (
        found["reference_top1"] - p / 100 for p in found["drop_interval"][::-1]
    )
    return found["top1"], (low, high)


def latency_of(candidate):
    """A candidate's median in ms, `None` where it was not measured."""
    return (candidate.get("latency") or {}).get("median_ms")


def size_of(candidate):
    """A candidate's size in MB of 10⁶ bytes."""
    return candidate["bytes"] / 1e6


def tradeoff(candidates, chosen, measure, limit=None):
    """A measure, `"accuracy"` or `"agreement"`, against latency, and against size.

    The limit is the largest drop in percentage points of the one, the least fraction
    of the other. A share far below it is drawn on the lower edge, and the key says
    what it is.
    """
    drawn = [
        (str(number), candidate, *measured(candidate, measure))
        for number, candidate in enumerate(candidates, 1)
        if measured(candidate, measure)
    ]
    levels = {}
    if measure == "accuracy":
        reference = drawn[0][1]["evaluation"]["reference_top1"]
        limit = None if limit is None else reference - limit / 100
        levels["float model"] = reference
    if limit is not None:
        levels["limit"] = limit
    floor = _floor([found for _, _, *found in drawn], limit)
    keys, panels = [], []
    for number, candidate, share, _ in drawn:
        below = floor is not None and share < floor
        told = f": {share:.1%}, below the scale" if below else ""
        keys.append((number, candidate["name"] + told))
    for xlabel, cost in (
        ("latency, median of one image on this host (ms)", latency_of),
        ("size of the file (MB)", size_of),
    ):
        points = [
            charts.Point(
                cost(candidate),
                share,
                candidate["precision"],
                number,
                interval,
                filled=candidate["within"],
                ringed=candidate["name"] == chosen,
            )
            for number, candidate, share, interval in drawn
            if cost(candidate) is not None
        ]
        if points:
            panels.append((xlabel, points))
    return charts.scatter(
        panels,
        _YLABELS[measure],
        _PRECISIONS,
        title=_finding(candidates, chosen),
        keys=keys,
        ringed="chosen",
        hollow="not within",
        levels=levels,
        floor=floor,
    )


def _floor(found, limit):
    """The lower edge where a collapsed file would press the others into a line."""
    share, (low, _) = max(found, key=lambda one: one[0])
    target = share if limit is None else limit
    room = 2.5 * max(abs(share - target), share - low, 0.02)
    floor = min(share, target) - room
    return floor if min(share for share, _ in found) < floor else None


def _finding(candidates, chosen):
    within = [candidate for candidate in candidates if candidate["within"]]
    count = len(candidates)
    if not within:
        if count == 1:
            return f"The only file does not keep within the limit: {chosen}"
        return f"None of {count} files keeps within the limit; best: {chosen}"
    times = {latency_of(c): c["name"] for c in within if latency_of(c) is not None}
    fastest = times and times[min(times)] == chosen
    keep = "file keeps" if count == 1 else "files keep"
    what = "the fastest" if fastest and len(within) > 1 else "chosen"
    return f"{len(within)} of {count} {keep} within the limit; {what}: {chosen}"


def worst(rows):
    """Indices of up to ten operators, the most sensitive first."""
    order = sorted(range(len(rows)), key=lambda n: -_total(rows[n]))
    return [n for n in order[:_WORST] if _total(rows[n]) > 0]


def _total(row):
    return sum(_part(row, key) for key in _PARTS)


def _part(row, key):
    """Nats; 0 where there are none or they are no finite number."""
    value = row.get(key)
    return value if value is not None and math.isfinite(value) and value > 0 else 0.0


def sensitivity(rows):
    """What rounding each operator alone does to the answers, in graph order."""
    marked = worst(rows)
    panels = {
        f"{key}: divergence (nats)": [_part(row, key) for row in rows] for key in _PARTS
    }
    return charts.columns(
        panels,
        "operator, in the order of the graph",
        marked,
        (f"the {len(marked)} most sensitive", "others"),
        title=_concentration(rows),
    )


def _concentration(rows):
    totals = sorted(map(_total, rows), reverse=True)
    whole, gathered, count = sum(totals), 0.0, 0
    if not whole:
        return "No operator is sensitive to 8 bits"
    while gathered < whole / 2:
        gathered += totals[count]
        count += 1
    make = "makes" if count == 1 else "make"
    return f"{count} of {len(rows)} operators {make} up half of the sensitivity"
