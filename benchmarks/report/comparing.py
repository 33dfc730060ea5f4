"""Which results are held against which, and what comes of it."""

import dataclasses

from keras_effnet.benchmarks import significance
from keras_effnet.benchmarks.report import entries

# Emulated counts repeat within a hundredth of a percent.
_SAME_COUNT = 1e-4


@dataclasses.dataclass(frozen=True)
class Compared:
    """Two results, the first by its file's number in its group, and what came of
    comparing them.

    Of emulated counts, which have no noise, the `difference` is without an interval,
    and its verdict is `"fewer"`, `"more"` or `"as many"`. `reference` and `remark`,
    which may be empty, are words."""

    number: int
    label: str
    reference: str
    difference: significance.Difference
    remark: str = ""


def within(group):
    """Each file against the first of the same threads and delegate: a list of
    `Compared` for each setting that has several files."""
    for setting in group.settings():
        first, *others = (r for r in group.results if entries.setting(r) == setting)
        reference = group.label(first)
        compared = [_compare(group, r, first, reference) for r in others]
        if found := [c for c in compared if c]:
            yield found


def between(group, others):
    """Each result against the one of its name, threads and delegate in another set:
    `(compared, missing)`, of which the second are labels of results that have no
    counterpart on the same target, processor and harness."""
    kin = [other for g in others if _akin(group, g) for other in g.results]
    compared, missing = [], []
    for result in group.results:
        matches = [other for other in kin if _place(other) == _place(result)]
        key = entries.file_key(result)
        same = [other for other in matches if entries.file_key(other) == key]
        found = None
        if matches:
            other = (same or matches)[0]
            remarks = [] if same else ["another file of that name"]
            if other["harness"] != result["harness"]:
                version = other["harness"]["version"]
                remarks.append(f"the reference by version {version} of the harness")
            found = _compare(group, result, other, "before", ", ".join(remarks))
        if found:
            compared.append(found)
        else:
            missing.append(group.label(result))
    return compared, missing


def _akin(group, other):
    """Versions of the harness may differ, which is said; nothing else may."""
    first, second = (g.harness.rpartition(" ")[0] for g in (group, other))
    same = (group.target, group.cpu, group.emulated)
    return first == second and same == (other.target, other.cpu, other.emulated)


def _place(result):
    return result["name"], entries.setting(result)


def _compare(group, result, other, reference, remark=""):
    if group.emulated:
        difference = _of_counts(result["instructions"], other["instructions"])
    else:
        difference = significance.compare(
            significance.round_medians(result),
            significance.round_medians(other),
            paired=_in_turn(result, other),
        )
    if difference is None:
        return None
    number = group.number(result)
    return Compared(number, group.label(result), reference, difference, remark)


def _of_counts(count, other):
    if not count or not other:
        return None
    ratio = count / other
    verdict = "fewer" if ratio < 1 else "more"
    if abs(ratio - 1) <= _SAME_COUNT:
        verdict = "as many"
    return significance.Difference(ratio, None, None, (1, 1), False, verdict)


def _in_turn(result, other):
    """Whether one command interleaved them, so that their rounds are pairs."""
    if result["source"] != other["source"] or result["options"] != other["options"]:
        return False
    return len(result["rounds"]) == len(other["rounds"])
