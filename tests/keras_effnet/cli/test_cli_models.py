"""The commands that describe networks, as a user runs them: models, show, scale."""

import json
import re
import signal
import subprocess
import sys

import keras
import matplotlib.image
import pytest
from reference_counts import PUBLISHED

from keras_effnet import cli
from keras_effnet.costs import spec_costs
from keras_effnet.scaling import compound_scale
from keras_effnet.specs import SPECS

# Tan and Le 2019, Table 1.
TABLE_1 = """
1 Conv3x3 224 x 224 32 1
2 MBConv1, k3x3 112 x 112 16 1
3 MBConv6, k3x3 112 x 112 24 2
4 MBConv6, k5x5 56 x 56 40 2
5 MBConv6, k3x3 28 x 28 80 3
6 MBConv6, k5x5 14 x 14 112 3
7 MBConv6, k5x5 14 x 14 192 4
8 MBConv6, k3x3 7 x 7 320 1
9 Conv1x1 & Pooling & FC 7 x 7 1280 1
"""
SCORES = """
def depth(spec):
    with open("calls", "a") as calls:
        calls.write("x")
    return 1 - abs(spec.depth - 1.4)

def broken(spec):
    return {}["missing"]

def not_a_number(spec):
    return float("nan")

def network(spec):
    from keras_effnet.specs import get_spec
    return get_spec("EfficientNetB9")

number = 3
"""


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = cli.main([*map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to stand in, with a score function; imports from it are undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    (tmp_path / "my_score.py").write_text(SCORES)
    return tmp_path


def rows(text):
    """The table's rows, their runs of spaces as one."""
    return [" ".join(line.split()) for line in text.splitlines()]


def assert_one_line(result, pattern):
    code, out, err = result
    assert (code, out) == (1, "")
    *progress, error = err.splitlines()
    assert error.startswith("keras-effnet: error: ")
    assert re.search(pattern, error), error
    assert not any("error" in line or "Traceback" in line for line in progress)


def test_models_prints_the_published_numbers(run):
    code, out, err = run("models")
    assert (code, err) == (0, "")
    assert [row.rsplit(" ", 1)[0] for row in rows(out)[1:]] == [
        f"{name} {row.image_size} {row.trainable:,} {row.total:,} "
        f"{row.giga_multiply_adds:.3f}"
        for name, row in PUBLISHED.items()
    ]


def test_models_as_json(run):
    _, out, _ = run("models", "--json", "--family", "edgetpu")
    found = json.loads(out)
    assert [model["name"][-4:] for model in found] == ["TPUS", "TPUM", "TPUL"]
    for model in found:
        published = PUBLISHED[model["name"]]
        assert model["family"] == "edgetpu"
        assert model["image_size"] == published.image_size
        assert model["trainable_parameters"] == published.trainable
        assert model["total_parameters"] == published.total
        assert round(model["multiply_adds"] / 1e9, 3) == published.giga_multiply_adds


@pytest.mark.parametrize(
    ("family", "count"), [("v1", 10), ("v2", 8), ("lite", 5), ("edgetpu", 3)]
)
def test_models_of_one_family(run, family, count):
    _, out, _ = run("models", "--family", family)
    families = [row.split()[-1] for row in rows(out)[1:]]
    assert families == [family] * count


def test_an_unknown_family_is_one_line(run):
    assert_one_line(
        run("models", "--family", "light"),
        "Did you mean 'lite'.*v1, v2, lite, edgetpu.*Received: --family light",
    )


def test_models_needs_no_keras():
    code = (
        "import sys; from keras_effnet import cli; cli.main(['models']); "
        "sys.exit('keras' in sys.modules or 'matplotlib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)


def test_show_prints_the_papers_table(run):
    code, out, err = run("show", "efficientnet-b0")
    assert (code, err) == (0, "")
    assert rows(out)[0] == "efficientnetb0, 224 x 224 x 3"
    expected = TABLE_1.strip().splitlines()
    for row, line in zip(rows(out)[3:12], expected, strict=True):
        assert row.startswith(f"{line} ")
    # 3 x 3 x 3 x 32 weights on a map of 112 x 112, and the input's mean and std.
    stem = rows(out)[3].split()
    assert stem[-2:] == [f"{27 * 32 * 112**2 / 1e9:.3f}", "stem"]
    assert "parameters 5,330,564, 5,288,548 trainable" in rows(out)
    (work,) = (row for row in rows(out) if row.startswith("multiply-adds"))
    assert work.endswith(", 0.386 x 10^9")


def test_show_counts_v2_from_0(run):
    _, out, _ = run("show", "EfficientNetV2B0")
    numbered = [(row.split()[0], row.split()[-1]) for row in rows(out)[3:11]]
    blocks = [(str(number), f"block{number}") for number in range(1, 7)]
    assert numbered == [("0", "stem"), *blocks, ("7", "top")]


def test_show_at_another_size_with_layers(run):
    _, out, _ = run("show", "EfficientNetB0", "--image-size", 64, "--layers")
    costs = spec_costs(SPECS["EfficientNetB0"], image_size=64)
    assert f"multiply-adds {costs.multiply_adds:,}," in out.replace("  ", " ")
    # Counted by hand: 1 x 1 x 16 x 96 weights on a map of 32 x 32.
    line = f"block2a_expand_conv Conv2D 32 x 32 x 96 1,536 {1536 * 32**2:,}"
    assert line in rows(out)


def test_show_as_json(run):
    _, out, _ = run("show", "EfficientNetLite0", "--image-size", 32, "--json")
    found = json.loads(out)
    assert found["total_parameters"] == PUBLISHED["EfficientNetLite0"].total
    assert [stage["number"] for stage in found["stages"]] == list(range(1, 10))
    assert sum(x["multiply_adds"] for x in found["stages"]) == found["multiply_adds"]
    assert found["activation_bytes"] > found["peak_bytes"] > 0
    assert "layers" not in found
    _, out, _ = run(
        "show", "EfficientNetLite0", "--image-size=32", "--json", "--layers"
    )
    layers = json.loads(out)["layers"]
    assert sum(x["multiply_adds"] for x in layers) == found["multiply_adds"]


def test_show_reads_a_keras_file(run, tmp_path):
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    keras.Model(inputs, x, name="mine").save(tmp_path / "mine.keras")
    code, out, _ = run("show", tmp_path / "mine.keras", "--layers")
    assert code == 0
    assert rows(out)[0] == "mine, 8 x 8 x 1"
    assert "conv Conv2D 6 x 6 x 4 40 1,296" in rows(out)
    _, out, _ = run("show", tmp_path / "mine.keras", "--image-size", 5, "--layers")
    assert "conv Conv2D 3 x 3 x 4 40 324" in rows(out)


def test_show_tells_what_it_cannot_count(run, tmp_path):
    inputs = keras.Input((5, 4))
    x = keras.layers.LSTM(3, name="memory")(inputs)
    keras.Model(inputs, x).save(tmp_path / "mine.keras")
    _, out, _ = run("show", tmp_path / "mine.keras")
    assert "not counted the work of memory" in rows(out)


def test_bad_models_are_one_line(run, tmp_path):
    assert_one_line(
        run("show", "EficientNetV2S"),
        "No network has this name. Did you mean 'EfficientNetV2S'.*'EficientNetV2S'",
    )
    assert_one_line(run("show", tmp_path / "no.keras"), "no such file.*no.keras'")
    (tmp_path / "bad.keras").write_bytes(b"PK nothing")
    assert_one_line(run("show", tmp_path / "bad.keras"), "no .keras file.*bad.keras'")
    (tmp_path / "m.tflite").touch()
    assert_one_line(run("show", tmp_path / "m.tflite"), "`show` reads.*m.tflite'")
    assert_one_line(run("show", tmp_path), "`show` reads a .keras file")
    for size in (0, -5):
        assert_one_line(
            run("show", "EfficientNetB0", "--image-size", size),
            f"--image-size must be at least 1. Received: {size}",
        )


def test_a_model_of_open_size_is_one_line(run, tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs))
    model.save(tmp_path / "open.keras")
    assert_one_line(
        run("show", tmp_path / "open.keras"), r"give an image size.*\(None, None, 3\)"
    )
    assert run("show", tmp_path / "open.keras", "--image-size", 9)[0] == 0


def test_scale_by_phi_with_the_papers_coefficients(run):
    """B0 scaled so has B2's channels and blocks: width 1.1, depth 1.2."""
    code, out, err = run("scale", "--phi", 1)
    assert (code, err) == (0, "")
    assert rows(out)[0] == "efficientnetb0phi1, 258 x 258 x 3"
    b2 = PUBLISHED["EfficientNetB2"]
    assert f"parameters {b2.total:,}, {b2.trainable:,} trainable" in rows(out)


def test_scale_by_coefficients_of_ones_own(run):
    options = ("--alpha", 1.5, "--beta", 1, "--gamma", 1.3)
    base = ("--base", "EfficientNetLite0")
    _, out, _ = run("scale", "--phi", 2, *options, *base, "--json")
    found = json.loads(out)
    assert found["input_shapes"] == [[379, 379, 3]]  # 224 x 1.69 = 378.56
    # 2 x 2.25 = 4.5, 3 x 2.25 = 6.75 and 4 x 2.25 = 9 blocks; Lite keeps its ends.
    assert [stage["layers"] for stage in found["stages"]] == [1, 1, 5, 5, 7, 7, 9, 1, 1]
    spec = compound_scale(2, 1.5, 1, 1.3, SPECS["EfficientNetLite0"])
    assert found["multiply_adds"] == spec_costs(spec).multiply_adds


def test_scale_by_nothing_is_the_base(run):
    _, out, _ = run("scale", "--phi", 0, "--json")
    found = json.loads(out)
    assert found["total_parameters"] == PUBLISHED["EfficientNetB0"].total


def test_scale_says_where_the_published_networks_come_from(capsys):
    with pytest.raises(SystemExit):
        cli.main(["scale", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "The published B1 to B7 are rounded by hand and follow from no phi" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give --phi or --search"),
        (("--phi", "-1"), "must be a number from 0 up. Received: phi=-1.0"),
        (("--phi", "nan"), "--phi must be finite. Received: nan"),
        (("--phi", "1", "--alpha", "0.9"), "`alpha` must be at least 1.*alpha=0.9"),
        (("--phi", "1", "--gamma", "inf"), "--gamma must be finite. Received: inf"),
        (("--phi", "50"), "too large to build.*Received: phi=50, alpha=1.2"),
        (("--phi", "1", "--gamma", "1e9"), "too large to build.*gamma=1e[+]09"),
        (("--phi", "9999"), "too large to count. Received: phi=9999"),
        (("--phi", "1", "--base", "EfficientNetB"), "Did you mean 'EfficientNetB8'"),
        (("--phi", "1", "--plot", "x.png"), "go with --search. Received: --plot"),
        (("--phi", "1", "--step", "0.1"), "go with --search. Received: --step"),
        (("--search", "a:b", "--phi", "1"), "go without --search.*Received: --phi"),
        (("--search", "a:b", "--beta", "1"), "go without --search.*Received: --beta"),
        (("--search", "a:b", "--layers"), "--layers goes without --search"),
    ],
)
def test_impossible_scalings_are_one_line(run, arguments, message):
    assert_one_line(run("scale", *arguments), message)


def search(*arguments, function="my_score:depth", step=0.1):
    return ("scale", "--search", function, "--step", step, *arguments)


def test_search_prints_draws_and_resumes(run, folder):
    command = search("--state", "search.json", "--plot", "out/search.png")
    code, out, err = run(*command)
    assert code == 0
    lines = err.splitlines()
    total = int(lines[0].removesuffix(" different networks"))
    assert [line.split()[0] for line in lines[1:]] == [
        f"{done}/{total}" for done in range(1, total + 1)
    ]
    assert (folder / "calls").read_text() == "x" * total
    heading, *best = rows(out)[:11]
    assert heading == "alpha beta gamma score 10^9 multiply-adds"
    costs = spec_costs(compound_scale(1, 1.4, 1, 1.2))
    assert best[0] == f"1.4 1 1.2 1 {costs.multiply_adds / 1e9:.3f}"
    assert rows(out)[11] == "The best 10 of 22; --json prints all."
    assert rows(out)[12].endswith("--phi 2 --alpha 1.4 --beta 1 --gamma 1.2")
    pixels = matplotlib.image.imread(folder / "out" / "search.png")
    assert len({tuple(pixel) for row in pixels for pixel in row}) > 50
    assert [path.name for path in (folder / "out").iterdir()] == ["search.png"]

    code, again, err = run(*command)
    assert (code, again) == (0, out)
    assert err.splitlines() == [
        f"{total} different networks, {total} of them scored before"
    ]
    assert (folder / "calls").read_text() == "x" * total


def test_search_as_json(run, folder):
    _, out, _ = run(*search("--json", "--base", "EfficientNetLite0"))
    found = json.loads(out)
    assert len(found) == 22
    assert set(found[0]) == {"alpha", "beta", "gamma", "score", "multiply_adds"}
    point = (found[0][key] for key in ("alpha", "beta", "gamma"))
    spec = compound_scale(1, *point, SPECS["EfficientNetLite0"])
    assert found[0]["multiply_adds"] == spec_costs(spec).multiply_adds


def test_a_failed_score_keeps_the_earlier_ones_and_leaves_no_plot(run, folder):
    (folder / "my_score.py").write_text(
        "left = [0.1, 0.2, 0.3]\n\ndef depth(spec):\n    return left.pop()\n"
    )
    (folder / "search.png").write_text("the last one")
    command = search("--state", "search.json", "--plot", "search.png")
    assert_one_line(
        run(*command),
        r"The function failed: IndexError: pop from.* \(my_score.py, line 4\)",
    )
    kept = json.loads((folder / "search.json").read_text())["evaluations"]
    assert len(kept) == 3
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    assert names == ["my_score.py", "search.json", "search.png"]
    assert (folder / "search.png").read_text() == "the last one"


def test_a_killed_search_leaves_its_state_alone(folder):
    (folder / "my_score.py").write_text(
        "import os, signal\n\n"
        "def depth(spec):\n"
        "    if spec.depth > 1:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return 0.5\n"
    )
    command = search("--state", "search.json", "--plot", "search.png")
    code = f"from keras_effnet import cli; cli.main({[*map(str, command)]})"
    killed = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE)
    assert killed.returncode == -signal.SIGKILL
    assert len(json.loads((folder / "search.json").read_text())["evaluations"]) == 5
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    assert names == ["my_score.py", "search.json"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("my_score", "MODULE:FUNCTION.*Received: 'my_score'"),
        (":depth", "MODULE:FUNCTION.*Received: ':depth'"),
        ("my_score:", "MODULE:FUNCTION.*Received: 'my_score:'"),
        ("my_scores:depth", "no Python module 'my_scores'.*Did you mean 'my_score'"),
        ("no.score:depth", "no Python module 'no'"),
        ("my_score:deep", "no function 'deep'. Did you mean 'depth'"),
        ("my_score:number", "no function 'number'"),
        ("my_score:broken", r"KeyError: 'missing' \(my_score.py, line 8\)"),
        ("my_score:not_a_number", "finite number.*Received: nan for α=1.0"),
        ("my_score:network", "No network has this name.*Received: 'EfficientNetB9'"),
        ("lost:f", r"can't be imported: ModuleNotFoundError.*\(lost.py, line 1\)"),
        ("wrong:f", r"can't be imported: SyntaxError.*\(wrong.py, line 2\)"),
        ("leaves:f", r"can't be imported: SystemExit: 3 \(leaves.py, line 1\)"),
    ],
)
def test_bad_score_functions_are_one_line(run, folder, function, message):
    (folder / "lost.py").write_text("import not_there\n")
    (folder / "wrong.py").write_text("x = 1\ndef f(:\n")
    (folder / "leaves.py").write_text("raise SystemExit(3)\n")
    assert_one_line(run(*search(function=function)), message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--plot", "my_score.py/x.png"), "can't be written.*x.png'"),
        (("--plot", "search.jpg"), "The plot is a .png file. Received: --plot sear"),
        (("--state", "my_score.py/s.json"), "can't be written.*s.json'"),
        (("--state", "my_score.py"), "no state file of a search.*'my_score.py'"),
        (("--tolerance", "1.5"), "`tolerance` must be.*Received: tolerance=1.5"),
        (("--tolerance", "nan"), "`tolerance` must be.*Received: tolerance=nan"),
    ],
)
def test_bad_searches_are_one_line_before_the_first_score(
    run, folder, arguments, message
):
    assert_one_line(run(*search(*arguments)), message)
    assert not (folder / "calls").exists()


def test_the_state_of_another_search_is_one_line(run, folder):
    run(*search("--state", "search.json"))
    assert_one_line(
        run(*search("--state", "search.json", step=0.2)),
        "state file is of another search: its `step` is 0.1, not 0.2",
    )
