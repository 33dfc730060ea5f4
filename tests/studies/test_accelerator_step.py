"""The pieces of studies/peers/accelerator_step.py, against published figures,
PyTorch's own count of operations, and sides of known speed."""

import dataclasses
import importlib
import json
import os
import signal
import types

import keras
import pytest
from conftest import ROOT

PEERS = "keras_effnet.benchmarks.studies.peers"


@pytest.fixture(scope="module")
def script():
    """The script as a module that a child process can import, too."""
    return importlib.import_module(f"{PEERS}.accelerator_step")


@pytest.fixture
def sides(script):
    return importlib.import_module(f"{PEERS}._accelerator_sides")


@pytest.fixture
def case(script):
    """Three rounds of 10 steps, batch 16."""
    case = script.case_of("EfficientNetB0", tiny=False, batch=16)
    return dataclasses.replace(case, steps=10, rounds=3)


class FakeChild:
    """Images per second as the test has them; remembers what was asked."""

    def __init__(self, side, script, asked, fails=(), on=None):
        self._script, self._asked, self._rates = script, asked, RATES[side]
        self._side, self._fails = side, fails
        self._device = (on or {}).get(side, "gpu: Fake")
        self._round = dict.fromkeys(self._rates, 0)
        self.stopped = False

    def ask(self, name, *arguments):
        self._asked.append((self._side, name, *arguments))
        if (self._side, name) in self._fails:
            raise self._script.Failed("no answer")
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
            children.append(FakeChild(side, script, asked, **options))
            return children[-1]

        result = script.compare(case, start, progress=lines.append)
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
def test_operations_are_those_that_pytorch_counts(script, sides, network):
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    sides.mend_torchvision(torch)
    timm = pytest.importorskip("timm")
    case = script.case_of(network, tiny=False)
    with torch.device("meta"):
        model = timm.create_model(case.timm_network)
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
    rounds = [each[0] for each in asked if each[1] == "round"]
    assert [rounds[0], rounds[4], rounds[8]] == ["keras_effnet", "timm", "keras_effnet"]
    assert rounds.count("timm") == rounds.count("keras_effnet") == 6
    assert all(child.stopped for child in children)


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
    monkeypatch.setattr(script, "compare", lambda case: result)
    monkeypatch.setattr(script, "gpu", lambda: True)
    path = tmp_path / "accelerator_step.json"
    assert script.main(["--network", "EfficientNetB0", "--output", str(path)]) == 0
    report = json.loads(path.read_text())
    assert report["device"] == "gpu: Fake"
    assert not report["tiny"]
    monkeypatch.syspath_prepend(ROOT / "docs")
    monkeypatch.setattr(importlib.import_module("table_data"), "RESULTS", tmp_path)
    header, loop, without = importlib.import_module("tables").accelerator_step()
    assert len(header) == len(loop) == len(without)
    assert loop[:2] == ("`EfficientNetB0`, 224 px, batch 16", "the loop")
    assert loop[2:5] == ("110 (90 to 300)", "50 (40 to 60)", "2.20")
    assert loop[5:] == ("0.3%, 0.1%", "3.0, 3.0 GiB")
    assert "EfficientNetB0, loop: 2.200 of timm" in capsys.readouterr().out


def test_an_exception_is_one_line(sides, monkeypatch):
    class Connection:
        answers = ()

        def recv(self):
            if self.answers:
                raise EOFError
            return "prepare", ()

        def send(self, answer):
            self.answers = (answer,)

    def side(case):
        raise ValueError("shapes (2,) and (3,)\nare not\nequal")

    monkeypatch.setitem(sides.SIDES, "timm", side)
    connection = Connection()
    with pytest.raises(EOFError):
        sides.serve("timm", None, connection)
    assert connection.answers == ((None, "ValueError: shapes (2,) and (3,)"),)


def test_a_child_that_raises_is_slow_or_is_killed_says_so(script, case):
    child = script.Child("nobody", case, timeout=60)
    with pytest.raises(script.Failed, match=r"^KeyError: 'nobody'$"):
        child.ask("prepare")
    os.kill(child._process.pid, signal.SIGKILL)
    with pytest.raises(script.Failed, match="ended with -9 at `round`"):
        child.ask("round", "loop")
    child.stop()
    child = script.Child("nobody", case, timeout=0)
    with pytest.raises(script.Failed, match="within 0 s"):
        child.ask("prepare")
    assert not child._process.is_alive()


def test_our_loop_looks_at_a_step_when_the_next_is_on_its_way(sides):
    """As `Training.after_step` does: reading the step under way waits for it."""
    seen = []

    class Number(float):
        def __float__(self):
            seen.append(("read", int(self)))
            return 0.0

    class Model:
        trainable_variables = (0,)

        def fit(self, batches, callbacks, **options):
            for number, _ in enumerate(batches):
                seen.append(("step", number))
                logs = {"loss": Number(number), "accuracy": 0.0}
                callbacks.on_train_batch_end(number, logs)

    ours = object.__new__(sides.Ours)
    ours._keras, ours._model, ours._batch = keras, Model(), None
    ours._case = types.SimpleNamespace(backend="jax")
    ours._ema = types.SimpleNamespace(update=lambda: seen.append("average"))
    looks = [("step", 0), ("step", 1), ("read", 0), ("step", 2), ("read", 1)]
    ours._run("without EMA", 3)
    assert seen == [*looks, ("read", 2)]
    seen.clear()
    ours._run("loop", 3)
    assert seen.count("average") == 3
    assert [each for each in seen if each != "average"] == [*looks, ("read", 2)]
