"""Training steps on an accelerator: this package against timm on PyTorch.

    python benchmarks/peers/accelerator_step.py

EfficientNetV2-S at 300 pixels and EfficientNet-B0 at 224, each in the last stage of
its ImageNet recipe: bfloat16, RMSProp, L2 of the kernels, label smoothing, moving
average. This package compiles the step with XLA, through the pieces of its training
loop; timm's network runs under `torch.compile`, channels_last, in autocast. Batches of
random pixels lie on the device, no input pipeline runs. Each side is a process of its
own, both stay on the device for all rounds, and they take turns. TensorFlow isn't
needed unless `--backend` names it.

Rounds of three kinds: `loop` is what the training loop does at every step, moving
average included; `without EMA`; and, here alone, `bare fit`, in which nobody reads
the loss at every step. Next to images/s stand the matrix product that the same
framework reaches on the device, and the share of it that the step makes use of: two
operations for a multiply-add, and a backward pass of twice the forward pass.

Where no GPU is found, or with `--size tiny`, small images in float32 exercise the
script; their rates say nothing. Writes results/accelerator_step.json.
"""

import argparse
import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import multiprocessing
import os
import pathlib
import platform
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import time
import types

import numpy as np

from keras_effnet import files
from keras_effnet.benchmarks import comparison
from keras_effnet.costs import spec_costs
from keras_effnet.errors import InputError
from keras_effnet.errors import suggest
from keras_effnet.specs import get_spec

# Beside this script, though the package may be installed elsewhere.
RESULTS = pathlib.Path(__file__).resolve().parent.parent / "results"
CLASSES, IMAGENET = 1000, 1_281_167
# Of the device's memory, for each of the two processes.
MEMORY_SHARE = 0.45


@dataclasses.dataclass(frozen=True)
class Network:
    """A network, its recipe, timm's name of it, and the paper's training size."""

    recipe: str
    peer: str
    image_size: int
    batch: int


# fmt: off
NETWORKS = {
    "EfficientNetV2S": Network("v2_automl", "efficientnetv2_s", 300, 128),
    "EfficientNetB0":  Network("v1_paper",  "efficientnet_b0",  224, 256),
}
# fmt: on


@dataclasses.dataclass(frozen=True)
class Case:
    """What both sides are asked to do."""

    network: str
    backend: str
    image_size: int
    batch: int
    precision: str
    compiled: bool
    matrix: int
    steps: int
    rounds: int
    tiny: bool


class Failed(Exception):
    """A side can't be measured; the message says why, in one line."""


class OutOfMemory(Failed):
    """A smaller batch may fit."""


def case_of(name, tiny, backend="jax", batch=None, steps=None, rounds=None):
    """The `Case` of a network's name.

    Raises:
        InputError: No network of that name is measured.
    """
    if name not in NETWORKS:
        raise InputError(
            f"No such network is measured. {suggest(name, NETWORKS)}"
            f"The networks are: {', '.join(NETWORKS)}. Received: network={name!r}"
        )
    network = NETWORKS[name]
    return Case(
        name,
        backend,
        image_size=64 if tiny else network.image_size,
        batch=batch or (4 if tiny else network.batch),
        precision="float32" if tiny else "bfloat16",
        # Inductor takes minutes of a CPU to compile what is then run six times.
        compiled=not tiny,
        matrix=512 if tiny else 8192,
        steps=steps or (2 if tiny else 30),
        rounds=rounds or (3 if tiny else 7),
        tiny=tiny,
    )


def step_flops(case):
    """Floating-point operations of the training step, for one image."""
    costs = spec_costs(get_spec(case.network), case.image_size, CLASSES)
    return 3 * 2 * costs.multiply_adds


class Side:
    """What both sides answer when they are asked, in a process of their own."""

    def prepare(self):
        """Runs everything once, so that everything is compiled."""
        seconds = {
            variant: _seconds(lambda variant=variant: self.run(variant, 3))
            for variant in self.variants
        }
        return {
            "device": self.device(),
            "versions": self.versions,
            "warm_up_seconds": seconds,
            "matrix_tflops": self._matrix_tflops(),
        }

    def round(self, variant):
        """Images per second."""
        steps = self._case.steps
        seconds = _seconds(lambda: self.run(variant, steps))
        return steps * self._case.batch / seconds

    def peak_memory(self):
        """Bytes: of the device, or of this process where it is the CPU."""
        if self.device() == "cpu":
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return self._device_memory()

    def _matrix_tflops(self):
        size, products = self._case.matrix, 3 if self._case.tiny else 20
        multiply = self._multiply(size, self._case.precision)

        def run():
            for _ in range(products):
                product = multiply()
            self._wait_for(product)

        run()
        seconds = statistics.median(_seconds(run) for _ in range(5))
        return products * 2 * size**3 / seconds / 1e12


class Ours(Side):
    """The network as `keras_effnet.training.loop` trains it."""

    variants = ("loop", "without EMA", "bare fit")

    def __init__(self, case):
        os.environ["KERAS_BACKEND"] = case.backend
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", str(MEMORY_SHARE))
        import keras

        from keras_effnet.training import networks
        from keras_effnet.training.ema import EMA
        from keras_effnet.training.losses import build_loss
        from keras_effnet.training.optimizers import build_optimizer
        from keras_effnet.training.recipes import get_recipe
        from keras_effnet.training.schedules import build_schedule
        from keras_effnet.training.stages import stages

        self._keras = keras
        self._case = case
        keras.utils.set_random_seed(0)
        recipe = get_recipe(
            NETWORKS[case.network].recipe,
            case.network,
            batch_size=case.batch,
            mixed_precision="float32" if case.tiny else "mixed_bfloat16",
            jit_compile=True,
        )
        source = types.SimpleNamespace(class_names=[str(n) for n in range(CLASSES)])
        self._model, _ = networks.training_model(recipe, source)
        networks.set_rates(self._model, stages(recipe)[-1])
        networks.set_trainable(self._model, "all", recipe)
        schedule = build_schedule(recipe, IMAGENET // case.batch)
        self._model.compile(
            build_optimizer(recipe, schedule),
            loss=build_loss(recipe, from_logits=True),
            metrics=networks.metrics(CLASSES),
            jit_compile=recipe.jit_compile,
        )
        self._model.optimizer.build(self._model.trainable_variables)
        self._ema = EMA(self._model, recipe.ema, recipe.accumulate)
        batch = _batch(case, one_hot=True)
        self._batch = tuple(keras.ops.convert_to_tensor(array) for array in batch)
        self.versions = _versions("keras-effnet", "keras", case.backend)

    def run(self, variant, steps):
        callback = self._keras.callbacks.Callback()
        callback.on_train_batch_end = lambda batch, logs: self._after_step(
            logs, averages=variant == "loop"
        )
        self._model.fit(
            self._batches(steps),
            steps_per_epoch=steps,
            callbacks=[] if variant == "bare fit" else [callback],
            shuffle=False,
            verbose=0,
        )
        # A small one; whoever reads it waits for the last step.
        self._keras.ops.convert_to_numpy(self._model.trainable_variables[-1])

    def _after_step(self, logs, averages):
        if averages:
            self._ema.update()
        if not np.isfinite(logs["loss"]):
            raise FloatingPointError(f"the loss is {logs['loss']}")

    def _batches(self, steps):
        if self._case.backend == "tensorflow":
            import tensorflow as tf

            # Copied to the device ahead of the step that needs it.
            return tf.data.Dataset.from_tensors(self._batch).repeat(steps).prefetch(2)
        return (self._batch for _ in range(steps))

    def _multiply(self, size, dtype):
        a, b = (self._keras.random.normal((size, size), dtype=dtype) for _ in "ab")
        return lambda: self._keras.ops.matmul(a, b)

    def _wait_for(self, product):
        self._keras.ops.convert_to_numpy(product[0, 0])

    def device(self):
        if self._case.backend == "jax":
            import jax

            return _device(jax.default_backend(), jax.local_devices()[0].device_kind)
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        names = [each.get("device_name", "GPU") for each in details]
        return _device("gpu" if gpus else "cpu", *names[:1])

    def _device_memory(self):
        if self._case.backend == "jax":
            import jax

            return (jax.local_devices()[0].memory_stats() or {})["peak_bytes_in_use"]
        import tensorflow as tf

        return tf.config.experimental.get_memory_info("GPU:0")["peak"]


class Theirs(Side):
    """timm's network as its own training script trains it."""

    variants = ("loop", "without EMA")

    def __init__(self, case):
        import torch

        _mend_torchvision(torch)
        import timm
        from timm.optim import RMSpropTF
        from timm.optim import param_groups_weight_decay
        from timm.utils import ModelEmaV3

        from keras_effnet.training.recipes import get_recipe

        self._torch = torch
        self._case = case
        self._on = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(0)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        if self._on.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(MEMORY_SHARE)
        network, spec = NETWORKS[case.network], get_spec(case.network)
        recipe = get_recipe(network.recipe, case.network)
        model = timm.create_model(
            network.peer,
            num_classes=CLASSES,
            drop_rate=spec.dropout_rate,
            drop_path_rate=spec.drop_connect_rate,
        )
        model = model.to(self._on, memory_format=torch.channels_last).train()
        self._ema = ModelEmaV3(model, decay=recipe.ema)
        self._optimizer = RMSpropTF(
            param_groups_weight_decay(model, recipe.weight_decay),
            lr=1e-6,  # the first steps of the recipe's warm-up
            alpha=recipe.rho,
            momentum=recipe.momentum,
            eps=recipe.epsilon,
        )
        # The network of this package takes pixels and normalises them, too.
        shift, scale = (
            torch.tensor(model.pretrained_cfg[key], device=self._on).view(1, 3, 1, 1)
            for key in ("mean", "std")
        )

        def loss(images, labels):
            logits = model((images / 255 - shift) / scale)
            return torch.nn.functional.cross_entropy(
                logits, labels, label_smoothing=recipe.label_smoothing
            )

        self._model = model
        self._loss = torch.compile(loss) if case.compiled else loss
        images, labels = _batch(case, one_hot=False)
        images = torch.from_numpy(images).permute(0, 3, 1, 2).to(self._on)
        self._images = images.contiguous(memory_format=torch.channels_last)
        self._labels = torch.from_numpy(labels).to(self._on)
        self.versions = _versions("timm", "torch")

    def run(self, variant, steps):
        torch, narrow = self._torch, self._case.precision == "bfloat16"
        for _ in range(steps):
            with torch.autocast(self._on.type, torch.bfloat16, enabled=narrow):
                loss = self._loss(self._images, self._labels)
            loss.backward()
            self._optimizer.step()
            self._optimizer.zero_grad()
            if variant == "loop":
                self._ema.update(self._model)
        if not np.isfinite(loss.item()):
            raise FloatingPointError(f"the loss is {loss.item()}")
        if self._on.type == "cuda":
            torch.cuda.synchronize()

    def _multiply(self, size, dtype):
        options = {"dtype": getattr(self._torch, dtype), "device": self._on}
        a, b = (self._torch.randn(size, size, **options) for _ in "ab")
        return lambda: a @ b

    def _wait_for(self, product):
        product[0, 0].item()

    def device(self):
        if self._on.type == "cuda":
            return _device("gpu", self._torch.cuda.get_device_name())
        return _device("cpu")

    def _device_memory(self):
        return self._torch.cuda.max_memory_allocated()


SIDES = {"keras_effnet": Ours, "timm": Theirs}


def _mend_torchvision(torch):
    """timm imports torchvision, whose compiled part may be for another PyTorch."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor a, Tensor b, float c) -> Tensor")
        torch._torchvision_operators = library  # which goes with its object


def _batch(case, one_hot):
    draw = np.random.default_rng(0)
    shape = (case.batch, case.image_size, case.image_size, 3)
    images = draw.uniform(0, 255, shape).astype("float32")
    labels = draw.integers(0, CLASSES, case.batch)
    return images, np.eye(CLASSES, dtype="float32")[labels] if one_hot else labels


def _device(kind, name=None):
    return "cpu" if kind == "cpu" else f"{kind}: {name}"


def _versions(*packages):
    return {name: importlib.metadata.version(name) for name in packages}


def _seconds(function):
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def serve(side, case, connection):
    """A child process: answers until nobody asks any more."""
    measured = None
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            name, arguments = connection.recv()
            try:
                measured = measured or SIDES[side](case)
                answer = "done", getattr(measured, name)(*arguments)
            except Exception as error:  # whatever a framework raises is one line
                answer = _kind(error), _line(error)
            connection.send(answer)


def _kind(error):
    text = f"{type(error).__name__} {error}".lower()
    marks = "resource_exhausted", "resourceexhausted", "out of memory", "memoryerror"
    return "out of memory" if any(mark in text for mark in marks) else "failed"


def _line(error):
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first[:200]}"


class Child:
    """A side in a process of its own."""

    def __init__(self, side, case, timeout):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._timeout = timeout
        self._process = context.Process(target=serve, args=(side, case, theirs))
        self._process.start()
        theirs.close()

    def ask(self, name, *arguments):
        """What the method of `Side` returns.

        Raises:
            OutOfMemory: A smaller batch may fit.
            Failed: It can't be done, or took too long.
        """
        try:
            self._connection.send((name, arguments))
            if not self._connection.poll(self._timeout):
                self.stop()
                raise Failed(f"no answer to `{name}` within {self._timeout} s")
            kind, answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            # Killed: most often by a system that ran out of memory.
            kind = OutOfMemory if self._process.exitcode == -9 else Failed
            raise kind(
                f"the process ended with {self._process.exitcode} at `{name}`"
            ) from None
        if kind == "done":
            return answer
        raise {"out of memory": OutOfMemory, "failed": Failed}[kind](answer)

    def stop(self):
        self._connection.close()
        self._process.kill()
        self._process.join()


def compare(case, start, say=print):
    """Both sides in turn, with the largest batch that fits both.

    Args:
        case: A `Case`.
        start: Called with a side's name and the `Case`; returns a `Child`.
        say: Called with a line of text.

    Returns:
        A dict for the JSON file.
    """
    notes = []
    while True:
        children = {}
        try:
            for side in SIDES:
                children[side] = start(side, case)
            return {**_measured(case, children, say), "out_of_memory": notes}
        except OutOfMemory as error:
            notes.append(f"{case.network}, batch {case.batch}: out of memory: {error}")
            say(notes[-1])
            if case.batch == 1:
                failed = {side: {"error": notes[-1]} for side in SIDES}
                return {**_described(case, failed), "out_of_memory": notes}
            case = dataclasses.replace(case, batch=case.batch // 2)
        finally:
            for child in children.values():
                child.stop()


def _measured(case, children, say):
    sides, rates = {}, {}

    def ask(side, *what):
        try:
            return children[side].ask(*what)
        except OutOfMemory as error:
            raise OutOfMemory(f"{side}: {error}") from None
        except Failed as error:
            sides[side] = {"error": str(error)}
            say(f"{case.network}, {side}: {error}")

    for side in children:
        if found := ask(side, "prepare"):
            sides[side] = found
            rates[side] = {variant: [] for variant in found["warm_up_seconds"]}
    turns = [(side, variant) for side in rates for variant in rates[side]]
    for number in range(case.rounds):
        for side, variant in turns[:: 1 if number % 2 == 0 else -1]:
            if "error" not in sides[side]:
                rates[side][variant].append(ask(side, "round", variant))
    for side in rates:
        if "error" not in sides[side]:
            peak = ask(side, "peak_memory")
        if "error" not in sides[side]:
            found = _of_rates(case, rates[side], sides[side]["matrix_tflops"])
            sides[side] |= {**found, "peak_memory_bytes": peak}
    return _described(case, sides)


def _of_rates(case, rates, matrix_tflops):
    medians = {name: statistics.median(values) for name, values in rates.items()}
    tflops = {name: rate * step_flops(case) / 1e12 for name, rate in medians.items()}
    return {
        "images_per_second": rates,
        "median_images_per_second": medians,
        "least_and_most": {
            name: [min(values), max(values)] for name, values in rates.items()
        },
        "step_tflops": tflops,
        "share_of_matrix_rate": {
            name: rate / matrix_tflops for name, rate in tflops.items()
        },
    }


def _described(case, sides):
    """`rate_of_timm` is there where both were measured on the same kind of device."""
    measured = [side for side in sides.values() if "error" not in side]
    kinds = {side["device"].partition(":")[0] for side in measured}
    ratio = None
    if len(measured) == len(SIDES) and len(kinds) == 1:
        ours, theirs = (sides[name]["median_images_per_second"] for name in SIDES)
        ratio = {variant: ours[variant] / theirs[variant] for variant in theirs}
    return {
        **dataclasses.asdict(case),
        "timm_network": NETWORKS[case.network].peer,
        "step_flops_of_an_image": step_flops(case),
        "sides": sides,
        "rate_of_timm": ratio,
    }


def gpu():
    """Whether NVIDIA's driver sees a GPU; asked without taking any of its memory."""
    if shutil.which("nvidia-smi") is None:
        return False
    found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return found.returncode == 0 and "GPU" in found.stdout


def report(results, load_before):
    """The JSON file as a dict; neither git nor TensorFlow need be there."""
    sides = [side for result in results.values() for side in result["sides"].values()]
    devices = sorted({side["device"] for side in sides if "device" in side})
    return {
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain")),
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "load_average_before": load_before,
        "load_average_after": os.getloadavg(),
        "device": " / ".join(devices),
        "gpu": gpu(),
        "tiny": any(result["tiny"] for result in results.values()),
        "networks": results,
    }


def _git(*arguments):
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(
            ["git", *arguments],
            cwd=pathlib.Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()


def show(result, say=print):
    """A line for each side."""
    for name, side in result["sides"].items():
        if "error" in side:
            continue
        for variant, rate in side["median_images_per_second"].items():
            least, most = side["least_and_most"][variant]
            share = side["share_of_matrix_rate"][variant]
            say(
                f"{result['network']}, {result['image_size']} px, batch "
                f"{result['batch']}, {name}, {variant}: {rate:.1f} images/s "
                f"({least:.1f} to {most:.1f}), {share:.1%} of "
                f"{side['matrix_tflops']:.3g} TFLOP/s, "
                f"{side['peak_memory_bytes'] / 2**30:.1f} GiB"
            )
    for variant, ratio in (result["rate_of_timm"] or {}).items():
        say(f"{result['network']}, {variant}: {ratio:.3f} of timm")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", choices=("jax", "tensorflow"), default="jax")
    parser.add_argument("--size", choices=("full", "tiny"), help="full on a GPU")
    parser.add_argument("--network", action="append", help=", ".join(NETWORKS))
    parser.add_argument("--batch", type=int, help="the first that is tried")
    parser.add_argument("--steps", type=int, help="in a round")
    parser.add_argument("--rounds", type=int)
    parser.add_argument(
        "--timeout", type=float, default=900, help="seconds for one answer of a side"
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=RESULTS / "accelerator_step.json",
    )
    args = parser.parse_args(arguments)
    tiny = args.size == "tiny" if args.size else not gpu()
    choices = args.backend, args.batch, args.steps, args.rounds
    try:
        cases = [case_of(name, tiny, *choices) for name in args.network or NETWORKS]
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    load = comparison.wait_until_idle() if tiny else os.getloadavg()
    results = {}
    for case in cases:
        results[case.network] = compare(
            case, lambda side, case: Child(side, case, args.timeout)
        )
        show(results[case.network])
        # What is done stays, should the next one be killed.
        files.write_text(
            args.output, json.dumps(report(results, load), indent=1) + "\n"
        )
    print(f"written: {os.path.relpath(args.output)}")
    return int(any(result["rate_of_timm"] is None for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
