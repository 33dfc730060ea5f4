"""What is installed: the product alone; a plain checkout needs no installing."""

import configparser
import importlib
import json
import pathlib
import subprocess
import sys

import pytest

import keras_effnet

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = [
    "keras_effnet",
    "keras_effnet.assets",
    "keras_effnet.benchmarks",
    "keras_effnet.benchmarks.native",
    "keras_effnet.benchmarks.report",
    "keras_effnet.benchmarks.targets",
    "keras_effnet.benchmarks.workers",
    "keras_effnet.cli",
    "keras_effnet.data",
    "keras_effnet.export",
    "keras_effnet.export.compression",
    "keras_effnet.export.compression.tfmot",
    "keras_effnet.export.levers",
    "keras_effnet.export.tuning",
    "keras_effnet.report",
    "keras_effnet.training",
    "keras_effnet.training.recipes",
    "keras_effnet.weights",
]
# Of the folders with code, what a wheel leaves in the repository.
LABORATORY = "keras_effnet.benchmarks.studies"
# What could be imported before the house was built anew.
NAMES = {
    "keras_effnet": """
        SPECS InputError Swish build_model compound_scale load_weights scaled_spec
        analysis benchmarks blocks class_names data evaluation export models
        preprocessing scaling scaling_search specs training weights
    """,
    "keras_effnet.export": """
        PRECISIONS Compressed CompressionRecipe ExportedFile Images cluster export
        prune qat write_onnx write_samples write_saved_model
    """,
    "keras_effnet.benchmarks": "BenchmarkResult benchmark benchmark_many",
}


@pytest.fixture(scope="module")
def settings():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_the_packages_are_those_of_the_product(settings):
    assert sorted(settings["options"]["packages"].split()) == PACKAGES


def test_no_package_is_forgotten():
    """Every folder with code is installed, or is the laboratory's."""
    found = set()
    for room in ("keras_effnet", "export", "benchmarks"):
        for path in (ROOT / room).rglob("__init__.py"):  # goes through no links
            name = ".".join(path.parent.relative_to(ROOT).parts)
            found.add(name if room == "keras_effnet" else f"keras_effnet.{name}")
    laboratory = {name for name in found if name.startswith(LABORATORY)}
    assert found - laboratory == set(PACKAGES)
    assert laboratory == {LABORATORY, f"{LABORATORY}.peers"}


def test_the_files_of_a_wheel():
    """As setuptools lists them, where it is installed."""
    pytest.importorskip("setuptools", reason="setuptools is not installed")
    # In a process of its own: setuptools changes the interpreter that imports it.
    code = """
import json
from setuptools import Distribution
distribution = Distribution({"script_name": "setup.py"})
distribution.parse_config_files()
command = distribution.get_command_obj("build_py")
command.build_lib = ""
command.ensure_finalized()
print(json.dumps(command.get_outputs(include_bytecode=False)))
"""
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = json.loads(child.stdout.splitlines()[-1])
    folders = {".".join(pathlib.PurePosixPath(name).parent.parts) for name in names}
    templates = "keras_effnet.export.templates"
    assert {f"{templates}.android-app", f"{templates}.ios-app.Sources"} <= folders
    folders = {name for name in folders if not name.startswith(templates)}
    assert folders == {*PACKAGES, "keras_effnet.benchmarks.browser"}
    for kept in (
        "keras_effnet/export/exporting.py",
        "keras_effnet/benchmarks/browser/page.js",
        "keras_effnet/benchmarks/native/fail.h",
        "keras_effnet/benchmarks/workers/latency.py",
        "keras_effnet/weights/published.csv",
    ):
        assert kept in names
    for name in names:
        assert not any(part in name for part in ("/studies/", "/results/", "/test"))


def test_a_plain_checkout_imports_both_doors():
    code = (
        "import keras_effnet.export, keras_effnet.benchmarks as benchmarks; "
        "print(benchmarks.__file__)"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr
    where = pathlib.Path(child.stdout.splitlines()[-1])
    assert where == ROOT / "keras_effnet" / "benchmarks" / "__init__.py"


@pytest.mark.parametrize("module", NAMES)
def test_names_of_before_still_import(module):
    found = importlib.import_module(module)
    for name in NAMES[module].split():
        assert getattr(found, name) is not None
        assert name in found.__all__


def test_networks_of_before_still_import():
    numbers = [*(f"B{n}" for n in range(9)), *(f"Lite{n}" for n in range(5))]
    numbers += ["L2", *(f"V2{n}" for n in ("B0", "B1", "B2", "B3", *"SML", "XL"))]
    names = {f"EfficientNet{n}" for n in (*numbers, *(f"EdgeTPU{n}" for n in "SML"))}
    assert names == set(keras_effnet.SPECS)
    for name in names:
        assert callable(getattr(keras_effnet, name))
