"""Signals at random moments: no orphans, no leftovers, and the same command ends well.

    python tests/scripts/kills.py --rounds 8
    python tests/scripts/kills.py --commands export,benchmark --signals SIGTERM

Each round starts each command in a folder of its own, sends each signal to it or to one
of its children at a random moment, looks for what is left, and gives the command again.
It prints a row for each command and signal. `test_kills.py` does a little of it.
"""

import argparse
import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid

sys.path.append(str(pathlib.Path(__file__).parents[1]))

from file_server import FileServer

SIGNALS = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")
_MARK = "KERAS_EFFNET_KILLS"
_LEFT_BYTES = 1e6
_SET = "EfficientNetB0", "noisy-student@google"
_DIGITS = (
    *("train", "digits", "--recipe", "digits", "--no-progress"),
    *("--set", "width=0.1", "--set", "depth=0.1", "--set", "epochs=3"),
    *("--set", "image_size=24", "--set", "eval_image_size=24"),
    *("--set", "checkpoint_steps=1", "--set", "batch_size=359"),
)


def commands(model, file, photos):
    """The arguments of each command; where its results go is `out`."""
    return {
        "train": (*_DIGITS, "--output", "out"),
        "export": (
            *("export", model, "--precision", "float32,int8", "--calibrate", photos),
            *("--output", "out"),
        ),
        "quantize": (
            *("quantize", model, "--calibrate", photos, "--min-agreement", "0"),
            *("--output", "out"),
        ),
        "qat": (
            *("qat", model, "--train", photos, "--steps", "20", "--batch-size", "2"),
            *("--output", "out"),
        ),
        "download": ("weights", "download", *_SET),
        "benchmark": ("benchmark", file, "--rounds", "4", "--output", "out/found.json"),
    }


def prepare(folder):
    """A small model, its .tflite file and photographs; their paths."""
    import keras
    import numpy as np
    from PIL import Image

    import keras_effnet
    from keras_effnet.export import export

    keras.utils.set_random_seed(0)
    spec = keras_effnet.scaled_spec(
        "EfficientNetLite0", width=0.25, depth=0.25, image_size=32, name="tiny"
    )
    model = keras_effnet.build_model(spec, classes=5)
    model.save(folder / "tiny.keras")
    (file,) = export(model, folder, ("float32",))
    photos = folder / "photos"
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(256, size=(6, 40, 40, 3), dtype=np.uint8)
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(photos / f"{number}.png")
    return str(folder / "tiny.keras"), str(file.path), str(photos)


class Run:
    """A command in a folder of its own, with its own temporary and home folder."""

    def __init__(self, arguments, folder, mirror):
        self._arguments, self._folder, self._mirror = arguments, folder, mirror
        self.mark = uuid.uuid4().hex
        for name in ("out", "tmp", "home"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def start(self):
        environment = os.environ | {
            "TMPDIR": str(self._folder / "tmp"),
            "KERAS_HOME": str(self._folder / "home"),
            "KERAS_EFFNET_MIRROR": self._mirror,
            _MARK: self.mark,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "keras_effnet", *self._arguments],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self):
        """Runs it to its end; returns the seconds that took."""
        started = time.monotonic()
        process = self.start()
        errors = process.communicate()[1]
        if process.returncode:
            raise AssertionError(f"exit code {process.returncode}: {errors[-2000:]}")
        return time.monotonic() - started

    def processes(self):
        """The ids of all that came of it and are alive."""
        wanted = f"{_MARK}={self.mark}".encode()
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                about = (path / "stat").read_text().rpartition(")")[2].split()
                alive = about[0] not in "ZX"
                if alive and wanted in (path / "environ").read_bytes().split(b"\0"):
                    found.append(int(path.name))
        return found

    def results(self):
        """The names of the files that it wrote."""
        names = {
            str(path.relative_to(self._folder))
            for name in ("out", "home")
            for path in (self._folder / name).rglob("*")
        }
        return {name for name in names if not name.endswith((".log", "keras.json"))}

    def left(self):
        """Bytes in its temporary folder, and in what it had begun to write."""
        begun = [p for p in self._folder.rglob(".writing-*")]
        places = [self._folder / "tmp", *begun]
        paths = [p for place in places for p in (place, *place.rglob("*"))]
        return sum(p.stat().st_size for p in paths if p.is_file())


def hit(run, number, moment, child):
    """Sends a signal at a moment; returns what is wrong after it, lines of text."""
    process = run.start()
    end = time.monotonic() + moment
    target = process.pid
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
        others = [pid for pid in run.processes() if pid != process.pid] if child else []
        target = others[0] if others else process.pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(target, number)
    try:
        errors = process.communicate(timeout=120)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return ["it went on for two minutes"]
    wrong = []
    if "Traceback" in errors:
        wrong.append(f"a traceback: {errors.splitlines()[-1]}")
    time.sleep(3)
    if orphans := run.processes():
        wrong.append(f"processes {orphans} live on")
    if number != signal.SIGKILL and run.left() > _LEFT_BYTES:
        wrong.append(f"{run.left() / 1e6:.1f} MB are left")
    return wrong


def measure(names, signals, rounds, folder, seed=0, tell=print):
    """Runs the rounds; returns `{(command, signal): [lines of what was wrong]}`."""
    random_moment = random.Random(seed)
    found = {}
    from keras_effnet.weights import store
    from keras_effnet.weights import table

    place = store.path_of(table.find(*_SET)[0]).relative_to(store.cache_folder())
    server = FileServer({f"/{place}": b"\x1f\x8b" + bytes(30_000_000)})
    with server.running():
        for name, arguments in commands(*prepare(folder)).items():
            if name not in names:
                continue
            whole = Run(arguments, folder / name / "whole", server.address)
            seconds = whole.finish()
            for one in signals:
                wrong = found[name, one] = []
                for number in range(rounds):
                    place = folder / name / f"{one}-{number}"
                    run = Run(arguments, place, server.address)
                    moment = random_moment.uniform(0.3, 1) * seconds
                    child = (len(found) + number) % 2  # with one round too
                    wrong += hit(run, signal.Signals[one], moment, child)
                    try:
                        run.finish()
                    except AssertionError as error:
                        wrong.append(f"given again: {error}")
                    if run.results() != whole.results():
                        wrong.append(f"other files: {run.results() ^ whole.results()}")
                    if run.left() > _LEFT_BYTES:
                        wrong.append("what a kill left was not swept")
                told = "; ".join(wrong[:3])
                tell(f"{name:10} {one:8}{rounds:4} runs {len(wrong):4} faults {told}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = "train,export,quantize,qat,download,benchmark"
    parser.add_argument("--commands", default=every)
    parser.add_argument("--signals", default=",".join(SIGNALS))
    parser.add_argument("--rounds", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        faults = measure(
            args.commands.split(","),
            args.signals.split(","),
            args.rounds,
            pathlib.Path(work),
        )
    sys.exit(any(faults.values()))
