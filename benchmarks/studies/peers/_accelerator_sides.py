"""The two sides of accelerator_step.py, each served from a process of its own.

A side is asked by the name of a method of `Side`. Its framework is imported there
alone: the process that asks needs none.
"""

import os
import resource
import statistics
import time
import types

import numpy as np

from keras_effnet.benchmarks.studies.comparison import installed_versions
from keras_effnet.specs import get_spec
from keras_effnet.training.recipes import get_recipe

CLASSES, IMAGENET = 1000, 1_281_167
# The step as the training loop has it, and without its moving average of weights.
VARIANTS = ("loop", "without EMA")
# Of the device's memory, for each of the two processes.
_MEMORY_SHARE = 0.45


class Side:
    """What both sides answer."""

    def prepare(self):
        """Runs everything once, so that everything is compiled."""
        return {
            "device": self._device(),
            "versions": installed_versions(*self._packages),
            "warm_up_seconds": {
                variant: _seconds(self._run, variant, 3) for variant in VARIANTS
            },
            "matrix_tflops": self._matrix_tflops(),
        }

    def round(self, variant):
        """Images per second."""
        steps = self._case.steps
        return steps * self._case.batch / _seconds(self._run, variant, steps)

    def peak_memory(self):
        """Bytes: of the device, or of this process where it is the CPU."""
        if self._device() == "cpu":
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return self._device_memory()

    def _matrix_tflops(self):
        size, products = self._case.matrix, 3 if self._case.tiny else 20
        a, b = (self._matrix(size, self._case.precision) for _ in "ab")

        def run():
            for _ in range(products):
                product = a @ b
            float(product[0, 0])  # whoever reads it waits for the last one

        run()
        seconds = statistics.median(_seconds(run) for _ in range(5))
        return products * 2 * size**3 / seconds / 1e12


class Ours(Side):
    """The network as `keras_effnet.training.loop` trains it."""

    def __init__(self, case):
        os.environ["KERAS_BACKEND"] = case.backend
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", str(_MEMORY_SHARE))
        import keras

        from keras_effnet.training import networks
        from keras_effnet.training.ema import EMA
        from keras_effnet.training.losses import build_loss
        from keras_effnet.training.optimizers import build_optimizer
        from keras_effnet.training.schedules import build_schedule
        from keras_effnet.training.stages import stages

        self._keras, self._case = keras, case
        keras.utils.set_random_seed(0)
        recipe = get_recipe(
            case.recipe,
            case.network,
            batch_size=case.batch,
            mixed_precision="float32" if case.tiny else "mixed_bfloat16",
            jit_compile=True,
        )
        source = types.SimpleNamespace(class_names=[str(n) for n in range(CLASSES)])
        self._model, _ = networks.training_model(recipe, source)
        networks.set_rates(self._model, stages(recipe)[-1])
        networks.set_trainable(self._model, "all", recipe)
        self._model.compile(
            build_optimizer(recipe, build_schedule(recipe, IMAGENET // case.batch)),
            loss=build_loss(recipe, from_logits=True),
            metrics=networks.metrics(CLASSES),
            jit_compile=recipe.jit_compile,
        )
        self._model.optimizer.build(self._model.trainable_variables)
        self._ema = EMA(self._model, recipe.ema, recipe.accumulate)
        images, labels = _batch(case)
        batch = images, np.eye(CLASSES, dtype="float32")[labels]
        self._batch = tuple(keras.ops.convert_to_tensor(array) for array in batch)
        self._packages = "keras-effnet", "keras", case.backend

    def _run(self, variant, steps):
        # A list, not a callback of one, as the training loop has it: Keras' own
        # waits for every step.
        callbacks = self._keras.callbacks.CallbackList(
            add_history=True, model=self._model
        )
        self._logs = None

        def after_step(batch, logs=None):
            # A step late, as there: to read a number of the one under way is to wait.
            self._look_at_last_step()
            self._logs = logs
            if variant == "loop":
                self._ema.update()

        callbacks.on_train_batch_end = after_step
        self._model.fit(
            self._batches(steps),
            steps_per_epoch=steps,
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
        self._look_at_last_step()
        # A small one; whoever reads it waits for the last step.
        self._keras.ops.convert_to_numpy(self._model.trainable_variables[-1])

    def _look_at_last_step(self):
        if self._logs:
            _check_finite(float(self._logs["loss"]))
            float(self._logs["accuracy"])  # the progress bar shows it

    def _batches(self, steps):
        if self._case.backend == "tensorflow":
            import tensorflow as tf

            # Copied to the device ahead of the step that needs it.
            return tf.data.Dataset.from_tensors(self._batch).repeat(steps).prefetch(2)
        return (self._batch for _ in range(steps))

    def _matrix(self, size, dtype):
        return self._keras.random.normal((size, size), dtype=dtype)

    def _device(self):
        if self._case.backend == "jax":
            import jax

            kind = jax.default_backend()
            return kind if kind == "cpu" else f"{kind}: {jax.devices()[0].device_kind}"
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            details = tf.config.experimental.get_device_details(gpu)
            return f"gpu: {details.get('device_name')}"
        return "cpu"

    def _device_memory(self):
        if self._case.backend == "jax":
            import jax

            return jax.devices()[0].memory_stats()["peak_bytes_in_use"]
        import tensorflow as tf

        return tf.config.experimental.get_memory_info("GPU:0")["peak"]


class Theirs(Side):
    """timm's network as its own training script trains it."""

    def __init__(self, case):
        import torch

        mend_torchvision(torch)
        import timm.optim
        import timm.utils

        self._torch, self._case = torch, case
        self._on = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(0)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        if self._on.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(_MEMORY_SHARE)
        spec = get_spec(case.network)
        recipe = get_recipe(case.recipe, case.network)
        model = timm.create_model(
            case.timm_network,
            num_classes=CLASSES,
            drop_rate=spec.dropout_rate,
            drop_path_rate=spec.drop_connect_rate,
        )
        model = model.to(self._on, memory_format=torch.channels_last).train()
        self._ema = timm.utils.ModelEmaV3(model, decay=recipe.ema)
        self._optimizer = timm.optim.RMSpropTF(
            timm.optim.param_groups_weight_decay(model, recipe.weight_decay),
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
        # Inductor takes minutes of a CPU to compile what is then run six times.
        self._loss = loss if case.tiny else torch.compile(loss)
        images, labels = map(torch.from_numpy, _batch(case))
        self._images = images.permute(0, 3, 1, 2).to(self._on)  # channels_last
        self._labels = labels.to(self._on)
        self._packages = "timm", "torch"

    def _run(self, variant, steps):
        torch, narrow = self._torch, self._case.precision == "bfloat16"
        for _ in range(steps):
            with torch.autocast(self._on.type, torch.bfloat16, enabled=narrow):
                loss = self._loss(self._images, self._labels)
            loss.backward()
            self._optimizer.step()
            self._optimizer.zero_grad()
            if variant == "loop":
                self._ema.update(self._model)
        _check_finite(loss.item())
        if self._on.type == "cuda":
            torch.cuda.synchronize()

    def _matrix(self, size, dtype):
        dtype = getattr(self._torch, dtype)
        return self._torch.randn(size, size, dtype=dtype, device=self._on)

    def _device(self):
        if self._on.type == "cpu":
            return "cpu"
        return f"gpu: {self._torch.cuda.get_device_name()}"

    def _device_memory(self):
        return self._torch.cuda.max_memory_allocated()


SIDES = {"keras_effnet": Ours, "timm": Theirs}


def serve(side, case, connection):
    """Answers until it is killed: `(value, None)` or `(None, why not)`."""
    measured = None
    while True:
        name, arguments = connection.recv()
        try:
            measured = measured or SIDES[side](case)
            answer = getattr(measured, name)(*arguments), None
        except Exception as error:  # whatever a framework raises is one line
            first = str(error).strip().partition("\n")[0]
            answer = None, f"{type(error).__name__}: {first[:200]}"
        connection.send(answer)


def mend_torchvision(torch):
    """timm imports torchvision, whose compiled part may be for another PyTorch."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor a, Tensor b, float c) -> Tensor")
        torch._torchvision_operators = library  # which goes with its object


def _batch(case):
    draw = np.random.default_rng(0)
    shape = (case.batch, case.image_size, case.image_size, 3)
    images = draw.uniform(0, 255, shape).astype("float32")
    return images, draw.integers(0, CLASSES, case.batch)


def _check_finite(loss):
    if not np.isfinite(loss):
        raise FloatingPointError(f"the loss is {loss}")


def _seconds(function, *arguments):
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started
