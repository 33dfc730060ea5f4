"""The pieces of benchmarks/peers/accelerator_step.py, against published figures,
PyTorch's own count of operations, and sides of known speed."""

import dataclasses
import importlib
import json
import os
import signal
import sys

import pytest
import test_docs

ROOT = test_docs.ROOT


@pytest.fixture(scope="module")
def script():
    """The script as a module that a child process can import, too."""
    folder = str(ROOT / "benchmarks" / "peers")
    sys.path.insert(0, folder)
    yield importlib.import_module("accelerator_step")
    sys.path.remove(folder)


@pytest.fixture
def case(script):
    """Three rounds of 10 steps, batch 16."""
    return script.case_of("EfficientNetB0", tiny=False, batch=16, steps=10, rounds=3)


class FakeChild:
    """Images per second as the test has them; remembers what was asked."""

    def __init__(self, side, case, script, asked, fits=1000, fails=(), on=None):
        self._script, self._asked, self._rates = script, asked, RATES[side]
        self._side, self._case, self._fits, self._fails = side, case, fits, fails
        self._device = (on or {}).get(side, "gpu: Fake")
        self._round = dict.fromkeys(self._rates, 0)
        self.stopped = False

    def ask(self, name, *arguments):
        self._asked.append((self._side, self._case.batch, name, *arguments))
        if (self._side, name) in self._fails:
            raise self._script.Failed("no answer")
        if self._case.batch > self._fits:
            raise self._script.OutOfMemory("too large")
        return getattr(self, name)(*arguments)

    def prepare(self):
        return {
            "device": self._device,
            "versions": {"fake": "1"},
            "warm_up_seconds": dict.fromkeys(self._rates, 1.0),
            "matrix_tflops": 100.0,
        }

    def round(self, variant):
        self._round[variant] += 1
        return self._rates[variant][self._round[variant] - 1]

    def peak_memory(self):
        return 3 * 2**30

    def stop(self):
        self.stopped = True


RATES = {
    "keras_effnet": {"loop": [90, 300, 110], "without EMA": [120] * 3},
    "timm": {"loop": [50, 60, 40], "without EMA": [80] * 3},
}


@pytest.fixture
def compared(script, case):
    """Compares fakes; the result, what was asked, the children and the lines."""

    def compare(**options):
        asked, children, lines = [], [], []

        def start(side, case):
            children.append(FakeChild(side, case, script, asked, **options))
            return children[-1]

        result = script.compare(case, start, say=lines.append)
        return result, asked, children, lines

    return compare


@pytest.mark.parametrize(
    ("network", "size", "published", "tolerance"),
    [
        ("EfficientNetB0", 224, 0.39e9, 0.02),  # EfficientNet paper, Table 2
        ("EfficientNetV2S", 384, 8.8e9, 0.06),  # EfficientNetV2 paper, Table 7
        ("EfficientNetV2S", 300, 8.8e9 * (300 / 384) ** 2, 0.06),
    ],
)
def test_operations_are_the_published_ones(script, network, size, published, tolerance):
    case = dataclasses.replace(script.case_of(network, tiny=False), image_size=size)
    multiply_adds = script.step_flops(case) / 3 / 2
    assert multiply_adds == pytest.approx(published, rel=tolerance)


@pytest.mark.parametrize("network", ["EfficientNetB0", "EfficientNetV2S"])
def test_operations_are_those_that_pytorch_counts(script, network):
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    script._mend_torchvision(torch)
    timm = pytest.importorskip("timm")
    case = script.case_of(network, tiny=False)
    with torch.device("meta"):
        model = timm.create_model(script.NETWORKS[network].peer)
        images = torch.empty(2, 3, case.image_size, case.image_size)
    # The backward pass it counts wrong: it forgets the groups of depthwise ones.
    with FlopCounterMode(display=False) as forward:
        model(images)
    assert 3 * forward.get_total_flops() == 2 * script.step_flops(case)


def test_the_rates_become_medians_ratios_and_shares(script, case, compared):
    result, *_ = compared()
    ours = result["sides"]["keras_effnet"]
    assert ours["median_images_per_second"] == {"loop": 110, "without EMA": 120}
    assert ours["least_and_most"]["loop"] == [90, 300]
    assert result["rate_of_timm"] == {"loop": 2.2, "without EMA": 1.5}
    share = 110 * script.step_flops(case) / 100e12
    assert ours["share_of_matrix_rate"]["loop"] == pytest.approx(share)
    assert 0.002 < share < 0.003  # 110 x 6 x 0.39e9 of 100e12


def test_the_sides_take_turns_and_each_is_first_in_turn(compared):
    _, asked, children, _ = compared()
    rounds = [each[0] for each in asked if each[2] == "round"]
    assert [rounds[0], rounds[4], rounds[8]] == ["keras_effnet", "timm", "keras_effnet"]
    assert rounds.count("timm") == rounds.count("keras_effnet") == 6
    assert all(child.stopped for child in children)


def test_the_batch_halves_for_both_until_it_fits_both(compared):
    result, asked, children, lines = compared(fits=4)
    assert result["batch"] == 4
    assert {batch for _, batch, name, *_ in asked if name == "round"} == {4}
    assert [line.split(":")[0] for line in lines] == [
        "EfficientNetB0, batch 16",
        "EfficientNetB0, batch 8",
    ]
    assert result["out_of_memory"] == lines
    assert all(child.stopped for child in children)


def test_a_batch_of_one_that_does_not_fit_ends_it(compared):
    result, *_ = compared(fits=0)
    assert result["batch"] == 1
    assert len(result["out_of_memory"]) == 5
    assert result["rate_of_timm"] is None


@pytest.mark.parametrize("name", ["prepare", "round", "peak_memory"])
def test_a_side_that_fails_leaves_the_other(compared, name):
    result, _, _, lines = compared(fails=[("timm", name)])
    assert result["sides"]["timm"] == {"error": "no answer"}
    assert result["sides"]["keras_effnet"]["median_images_per_second"]["loop"] == 110
    assert result["rate_of_timm"] is None
    assert lines == ["EfficientNetB0, timm: no answer"]


def test_a_cpu_is_not_held_against_a_gpu(compared):
    result, *_ = compared(on={"timm": "cpu"})
    assert "error" not in result["sides"]["timm"]
    assert result["rate_of_timm"] is None


def test_the_file_feeds_the_table(script, compared, tmp_path, monkeypatch, capsys):
    result, *_ = compared()
    report = script.report({"EfficientNetB0": result}, (0, 0, 0))
    assert report["device"] == "gpu: Fake"
    assert not report["tiny"]
    (tmp_path / "accelerator_step.json").write_text(json.dumps(report))
    tables = test_docs.tables()
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    header, loop, without = tables.accelerator_step()
    assert len(header) == len(loop) == len(without)
    assert loop[:2] == ("`EfficientNetB0`, 224 px, batch 16", "the loop")
    assert loop[2:5] == ("110 (90 to 300)", "50 (40 to 60)", "2.20")
    assert loop[5:] == ("0.3%, 0.1%", "3.0, 3.0 GiB")
    script.show(result)
    assert "EfficientNetB0, loop: 2.200 of timm" in capsys.readouterr().out


def test_an_unknown_network_is_one_line(script, capsys):
    assert script.main(["--network", "EfficientnetV2-S"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Did you mean 'EfficientNetV2S'" in line
    assert line.endswith("Received: network='EfficientnetV2-S'")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (MemoryError(), True),
        (ValueError("shapes (2,) and (3,)\nare not\nequal"), False),
    ],
)
def test_an_exception_is_one_line_of_its_kind(script, error, kind):
    assert script._kind(error) == ("out of memory" if kind else "failed")
    assert "\n" not in script._line(error)


def test_a_child_that_raises_is_slow_or_is_killed_says_so(script, case):
    child = script.Child("nobody", case, timeout=60)
    with pytest.raises(script.Failed, match=r"^KeyError: 'nobody'$"):
        child.ask("prepare")
    os.kill(child._process.pid, signal.SIGKILL)
    with pytest.raises(script.OutOfMemory, match="ended with -9 at `round`"):
        child.ask("round", "loop")
    child.stop()
    child = script.Child("nobody", case, timeout=0)
    with pytest.raises(script.Failed, match="within 0 s"):
        child.ask("prepare")
    assert not child._process.is_alive()
