"""Changed files, one after the other, for everything that reads a stranger's.

    python tests/fuzz/fuzz.py --seconds 3600

A reader takes each, or refuses it by an `InputError` of one line. Anything else is a
fault: another exception, the end of the process, more than 30 s of the processor (or
300 s, where others keep it busy), more than 4 GB. It is printed with its kind and seed,
and `--only KIND --seed SEED --count 1` does it again.
Ends with 1 where there was one.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = pathlib.Path(__file__).parent
SECONDS, GIGABYTES = 30, 4


def depth(spec):
    """What a search of coefficients scores."""
    return spec.depth


def kinds(folder):
    """`{kind: (seeds, change, read)}`: whole files, what changes one, what reads it.

    `read` is called with the path of a changed file, in a folder with all others.
    """
    import keras
    import mutations
    import numpy as np
    import tensorflow as tf
    from PIL import Image

    import keras_effnet
    from keras_effnet import benchmarks
    from keras_effnet import files
    from keras_effnet import saving
    from keras_effnet import sheet
    from keras_effnet import weights
    from keras_effnet.benchmarks import report
    from keras_effnet.benchmarks.journal import Journal
    from keras_effnet.data import finding
    from keras_effnet.data import formats
    from keras_effnet.data import photos
    from keras_effnet.data import records
    from keras_effnet.export import export
    from keras_effnet.export import metadata
    from keras_effnet.export.tuning.store import Store
    from keras_effnet.scaling_search import search
    from keras_effnet.tflite import TFLiteModel
    from keras_effnet.training import checkpoint
    from keras_effnet.weights import importing

    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    spec = keras_effnet.scaled_spec(
        "EfficientNetLite0", width=0.25, depth=0.25, image_size=32, name="tiny"
    )
    model = keras_effnet.build_model(spec, classes=5)
    rule = saving.attached(model)
    picture = Image.fromarray(random.integers(256, size=(40, 50, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "maker", 0x0132: "2024:01:01 00:00:00", 0x011A: 72})
    exif.get_ifd(0x8769).update({0x9003: "2024:01:01", 0x829A: (1, 50)})
    for name in ("a.jpg", "a.png", "a.webp", "a.tif", "a.bmp", "a.gif"):
        picture.save(folder / name, exif=exif)
    for number in range(6):
        place = folder / "classes" / "ab"[number % 2] / f"{number}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture.rotate(number).save(place)
    source = formats.open_source(folder / "classes")
    records.write_records({"train": source}, folder / "records", "ab", shards=1)

    model.save(folder / "a.keras")
    model.save_weights(folder / "a.weights.h5")
    values = {v.path: np.asarray(v) for v in model.weights}
    names = [f"net/{path}" for path in values]
    tf.raw_ops.SaveV2(
        prefix=str(folder / "a.ckpt"),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=list(values.values()),
    )
    with contextlib.suppress(ImportError):
        import safetensors.numpy

        state = {"_conv_stem.weight": np.ones((8, 3, 3, 3), "f"), "a": np.ones(9, "f")}
        safetensors.numpy.save_file(state, folder / "a.safetensors")
        import torch

        tensors = {name: torch.from_numpy(value) for name, value in state.items()}
        torch.save(tensors, folder / "a.pth")
    (file,) = export(model, folder / "out")
    (folder / "alone.tflite").write_bytes(file.path.read_bytes())
    (folder / "a.csv").write_text("file,class_index\na.jpg,0\na.png,4\n")
    quick = {"min_runs": 1, "min_seconds": 0, "warmup_seconds": 0, "rounds": 1}
    measured = [r.to_dict() for r in benchmarks.benchmark_many([file.path], **quick)]
    (folder / "results.json").write_text(json.dumps(measured))
    journal = Journal(folder / "a.rounds")
    journal.put(["a", 1], {"latency_ns": [1, 2], "warmup_ns": []})
    state = {"epoch": 1, "step": 0, "global_step": 3, "history": [{"epoch": 1}]}
    checkpoint.save(folder, {"model": [np.ones(3)], "optimizer": []}, state)

    def searched(path):
        return search(depth, step=0.5, state=path)

    searched(folder / "state.json")
    for part, array in (("images-idx3", np.ones((6, 8, 8))), ("labels-idx1", range(6))):
        array = np.asarray(array, np.uint8)
        header = bytes([0, 0, 8, array.ndim])
        header += b"".join(int(side).to_bytes(4, "big") for side in array.shape)
        (folder / f"train-{part}-ubyte").write_bytes(header + array.tobytes())

    def candidates(path):
        with Store(path.parent / "search", "0" * 64) as store:
            return store.value("a", lambda: 3)

    candidates(folder / "a")

    def stored(path):
        candidates(path)
        place = path.parent / "search" / "candidates" / "a.value.json"
        place.write_bytes(path.read_bytes())
        return candidates(path)

    def photograph(path):
        return list(photos.batches([path], (32, 32, 3), rule))

    def load(path):
        return weights.load_weights(model, path)

    def read(path):
        importing.convention(path)
        return importing.read(path, model)

    def classified(path):
        return TFLiteModel(path).predict(np.zeros((1, 32, 32, 3), "float32"))

    def opened(path):
        for place in path.parent.glob("*/[0-9a-f]*.json"):
            place.unlink()
        source = formats.open_source(path.parent)
        return list(source.dataset().as_numpy_iterator())

    def reported(path):
        return report.write([path], path.parent / "report.html")

    found = {
        "photograph": ([*folder.glob("a.[jpwtbg][pnemi]*")], "bytes", photograph),
        "labels": ([folder / "a.csv"], "bytes", finding.read_list),
        "h5": ([folder / "a.weights.h5"], "bytes", load),
        "keras weights": ([folder / "a.keras"], "zip", load),
        "keras model": ([folder / "a.keras"], "zip", saving.load_model),
        "safetensors": ([*folder.glob("a.safetensors")], "bytes", read),
        "pth": ([*folder.glob("a.pth")], "zip", read),
        "checkpoint": ([folder / "a.ckpt.index"], "bundle", read),
        "tflite": ([folder / "alone.tflite"], "tflite", classified),
        "metadata": ([folder / "alone.tflite"], "bytes", metadata.read_metadata),
        "metadata of tables": (
            [folder / "alone.tflite"],
            "tflite",
            lambda path: metadata.with_metadata(path.read_bytes(), name="a"),
        ),
        "sheet": (
            [file.path.with_suffix(".json")],
            "json",
            lambda path: sheet.write(sheet.read(path) or sheet.Sheet(), path),
        ),
        "results": ([folder / "results.json"], "json", reported),
        "journal": ([folder / "a.rounds"], "json", Journal),
        "store": ([folder / "search/candidates/a.value.json"], "json", stored),
        "search state": (
            [folder / "state.json"],
            "json",
            searched,
        ),
        "json": ([folder / "state.json"], "json", files.read_json),
        "npz": (
            [*folder.glob("step-*.npz")],
            "zip",
            lambda path: checkpoint.load_last(path.parent),
        ),
        "idx": ([*folder.glob("train-*ubyte")], "bytes", opened),
        "records": ([*(folder / "records").glob("*.tfrecord")], "bytes", opened),
        "classes": ([folder / "records" / "classes.json"], "json", opened),
    }
    return {
        kind: (seeds, getattr(mutations, f"of_{change}"), read)
        for kind, (seeds, change, read) in found.items()
        if seeds
    }


def work():
    """Takes `[kind, seed]` a line, and tells what came of it."""
    import logging
    import shutil
    import warnings

    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    sys.path.insert(0, str(HERE))
    logging.disable()
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print
    import numpy as np

    from keras_effnet.errors import InputError

    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        whole = pathlib.Path(name) / "whole"
        whole.mkdir()
        found = kinds(whole)
        print(json.dumps(sorted(found)), file=answers, flush=True)
        for line in sys.stdin:
            kind, seed = json.loads(line)
            seeds, change, read = found[kind]
            random = np.random.default_rng([seed, *kind.encode()])
            original = seeds[random.integers(len(seeds))]
            place = pathlib.Path(name) / "changed"
            # With its neighbours, which some readers need.
            if kind in ("checkpoint", "idx", "records", "classes"):
                suffixes = ("ckpt", "train", ".tfrecord", "classes.json")
                place.mkdir()
                for path in original.parent.iterdir():
                    if any(s in path.name for s in suffixes) and path.is_file():
                        shutil.copy(path, place)
            place.mkdir(exist_ok=True)
            path = place / original.name
            path.write_bytes(change(original.read_bytes(), random))
            outcome = "taken"
            with contextlib.suppress(OSError):
                pathlib.Path("/proc/self/clear_refs").write_text("5")
            try:
                read(path)
            except InputError as error:
                outcome = "refused" if "\n" not in str(error) else repr(error)
            except Exception:
                outcome = traceback.format_exc()
            shutil.rmtree(place)
            print(json.dumps([outcome, _peak()]), file=answers, flush=True)


def _peak():
    """Bytes, the most since it was set back; of children the largest of all."""
    status = pathlib.Path("/proc/self/status")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if status.exists():
        (own,) = [int(s.split()[1]) for s in status.open() if s.startswith("VmHWM")]
    return 1024 * max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


class _Worker:
    def __init__(self):
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as this
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.kinds = self.line(600)
        if not self.kinds:
            sys.exit(self.last_words())

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def line(self, seconds):
        line = self._lines.get(timeout=seconds)
        return line and json.loads(line)

    def ask(self, kind, seed):
        """What came of an input, and whether this process can take another."""
        self.process.stdin.write(json.dumps([kind, seed]) + "\n")
        self.process.stdin.flush()
        before, end = self._processor_seconds(), time.monotonic() + 10 * SECONDS
        while True:
            try:
                answer = self.line(SECONDS)
                break
            except queue.Empty:
                used = self._processor_seconds() - before
                if used > SECONDS or time.monotonic() > end:
                    return f"more than {SECONDS} s", False
        if answer is None:
            return f"the process ended: {self.last_words()}", False
        outcome, peak = answer
        if peak > GIGABYTES << 30:
            return f"{peak / 2**30:.1f} GiB", False
        return outcome, True

    def _processor_seconds(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/stat")
        with contextlib.suppress(OSError):  # it has ended
            ticks = status.read_text().rpartition(")")[2].split()[11:15]
            return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        return 0

    def last_words(self):
        self.process.wait()
        self._errors.seek(0)
        return self._errors.read()[-1500:].decode(errors="replace")

    def end(self):
        self.process.kill()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--count", type=int, help="inputs, at most")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--only", help="one kind")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        return work()
    worker = _Worker()
    chosen = [k for k in worker.kinds if arguments.only in (None, k)]
    counts = collections.defaultdict(collections.Counter)
    done, end = 0, time.monotonic() + arguments.seconds
    while time.monotonic() < end and done != arguments.count:
        kind = chosen[done % len(chosen)]
        seed = arguments.seed + done // len(chosen)
        outcome, alive = worker.ask(kind, seed)
        done += 1
        if outcome not in ("taken", "refused"):
            print(f"{kind}, seed {seed}: {outcome}", flush=True)
            outcome = "fault"
        counts[kind][outcome] += 1
        if not alive:
            worker.end()
            worker = _Worker()
    worker.end()
    print(f"{'':20}{'inputs':>8}{'taken':>8}{'refused':>8}{'faults':>8}")
    total = sum(counts.values(), collections.Counter())
    for kind, found in [*sorted(counts.items()), ("all", total)]:
        row = (found.total(), found["taken"], found["refused"], found["fault"])
        print(f"{kind:20}" + "".join(f"{number:8}" for number in row))
    return 1 if total["fault"] else 0


if __name__ == "__main__":
    sys.exit(main())
