"""Batches from a tf.data service: those of one process, whatever dies."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from test_sources import encoded
from test_sources import picture
from test_sources import write_classes

from keras_effnet.data import pipeline
from keras_effnet.data import service as data_service
from keras_effnet.data.formats import open_source
from keras_effnet.data.records import write_records
from keras_effnet.errors import InputError
from keras_effnet.preprocessing import Preprocessing
from keras_effnet.training.recipe import Recipe
from keras_effnet.training.stages import stages

STEPS = 10
RECIPE = Recipe(
    name="small",
    model="EfficientNetB0",
    epochs=2,
    image_size=(16, 16),
    batch_size=4,
    mixup_alpha=(0.3, 0.3),
    cutmix_alpha=(0.5, 0.5),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("folder"), a=15, b=15, c=12)


@pytest.fixture(scope="module")
def records(folder, tmp_path_factory):
    target = tmp_path_factory.mktemp("records") / "written"
    return write_records({"train": open_source(folder)}, target, shards=2)


@contextlib.contextmanager
def serving(workers):
    """The address of a service."""
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    address = dispatcher.target.removeprefix("grpc://")
    # A worker ends at its next heartbeat; they are half a minute apart otherwise.
    config = service.WorkerConfig(dispatcher_address=address, heartbeat_interval_ms=200)
    servers = [service.WorkerServer(config) for _ in range(workers)]
    yield address
    while servers:
        servers.pop()._stop()
    dispatcher.stop()


@pytest.fixture(scope="module")
def address():
    with serving(workers=2) as address:
        yield address


def batches(data, **options):
    source = open_source(data)
    preprocessing = Preprocessing(mean=(0.0,), std=(1.0,))
    (stage,) = stages(RECIPE)
    return pipeline.TrainingBatches(source, RECIPE, stage, preprocessing, **options)


def unexpected(line):
    raise AssertionError(line)


def assert_same(found, expected):
    found, expected = (list(each.as_numpy_iterator()) for each in (found, expected))
    assert len(found) == len(expected) > 0
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def readers():
    return [each for each in threading.enumerate() if each.name == "data-service"]


@pytest.mark.parametrize("kind", ["folder", "records"])
def test_the_batches_are_those_of_one_process(address, folder, records, kind):
    data = {"folder": folder, "records": records}[kind]
    local, served = batches(data), batches(data, service=address, progress=unexpected)
    assert local.steps_per_epoch == STEPS
    assert local.epoch(1).element_spec == served.epoch(1).element_spec
    assert_same(served.epoch(1), local.epoch(1))
    assert_same(served.epoch(0, first_step=7), local.epoch(0, first_step=7))
    assert not readers()


def test_a_part_of_the_batches(address, folder):
    part = batches(folder, part=(1, 2), service=address, progress=unexpected)
    assert_same(part.epoch(0), batches(folder, part=(1, 2)).epoch(0))


def test_a_relative_path_is_the_same_for_workers(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    source = open_source(folder.name)
    assert source.keys.tolist() == open_source(folder).keys.tolist()
    assert source.fingerprint == open_source(folder).fingerprint
    monkeypatch.chdir("/")
    assert len(list(source.dataset())) == source.count


def numbers(first, last):
    """Steps, each with its square."""
    steps = np.arange(first, last)
    return tf.data.Dataset.from_tensor_slices((steps, steps**2))


def steps_of(dataset):
    return [tuple(int(x) for x in row) for row in dataset.as_numpy_iterator()]


def lines_of_fake(monkeypatch, stream, last=30, **options):
    """What a client says of a service that gives the steps of `stream`, where
    `None` is silence and an exception ends it."""

    def distributed(drawn, address):
        def generate():
            for step in stream:
                if isinstance(step, Exception):
                    raise step
                if step is None:
                    time.sleep(1)
                else:
                    yield step, step**2

        spec = tf.TensorSpec((), tf.int64)
        return tf.data.Dataset.from_generator(generate, output_signature=(spec, spec))

    monkeypatch.setattr(data_service, "_distributed", distributed)
    monkeypatch.setattr(data_service, "check", lambda *args, **kwargs: None)
    lines = []
    client = data_service.DataService("host:1", lines.append, **options)
    found = steps_of(client.batches(numbers, 0, last))
    assert found == [(step, step**2) for step in range(last)]
    assert not readers()
    return lines


def test_steps_come_in_order(monkeypatch):
    shuffled = np.random.default_rng(0).permutation(30).tolist()
    assert not lines_of_fake(monkeypatch, shuffled, ahead=30)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ([s for s in range(30) if s not in (3, 4, 20)], "must have died; batch 3 of"),
        ([*range(5), *range(6, 30), 5], "must have died; batch 5 of"),
        ([*range(5), *range(3), *range(5, 30), 29], None),
        (range(12), "must have died; batch 12 of"),
        ([], "must have died; batch 0 of"),
        ([*range(9), ValueError("a disk")], "it failed, .*batch 9 of"),
        ([*range(9), None, *range(2, 30)], "nothing has come for 0.2 s; batch 9 of"),
    ],
    ids=["lost", "late", "twice", "ended", "empty", "failed", "silent"],
)
def test_what_is_missing_is_made_here(monkeypatch, stream, message):
    # A busy machine keeps silent too.
    patience = 0.2 if None in stream else 60
    lines = lines_of_fake(monkeypatch, stream, ahead=8, patience=patience)
    if message is None:
        assert not lines
    else:
        (line,) = lines
        assert re.search(message, line)
        assert line.startswith("data service at host:1: ")


@pytest.mark.parametrize("alive", ["dispatcher", "nothing"])
def test_without_workers_the_training_goes_on(folder, alive):
    lines = []
    with serving(workers=0) as address:
        if alive == "nothing":
            with socket.socket() as free:
                free.bind(("localhost", 0))
                address = f"localhost:{free.getsockname()[1]}"
        served = batches(folder, service=address, progress=lines.append)
        if alive == "dispatcher":
            served._service._patience = 1
        assert_same(served.epoch(0), batches(folder).epoch(0))
    (line,) = lines
    what = "nothing has come for 1 s" if alive == "dispatcher" else "No dispatcher"
    assert what in line
    assert not readers()


def test_a_reader_ends_with_its_iterator(address, folder):
    iterator = iter(batches(folder, service=address, progress=unexpected).epoch(0))
    next(iterator)
    del iterator
    end = time.monotonic() + 20
    while readers() and time.monotonic() < end:
        time.sleep(0.05)
    assert not readers()


def test_bad_addresses(folder):
    for text in ("server", "server:", ":5050", "server:x", "server:99999"):
        with pytest.raises(InputError, match=f"HOST:PORT.*Received: '{text}'"):
            batches(folder, service=text)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
        with pytest.raises(InputError, match=r"No dispatcher .*refused.*Received"):
            data_service.check(address, seconds=0.5)


def test_the_address_that_a_dispatcher_sees(address):
    assert data_service.check(address) in ("127.0.0.1", "::1")


def test_images_that_only_pillow_decodes_are_refused(tmp_path):
    write_classes(tmp_path, a=3, b=3)
    (tmp_path / "b" / "odd.jpg").write_bytes(encoded(picture().convert("CMYK"), "JPEG"))
    with pytest.raises(InputError, match=r"Received: 1 such .* of 7.*'b/odd.jpg'"):
        batches(tmp_path, service="localhost:1")
    target = tmp_path / "written"
    write_records({"train": open_source(tmp_path)}, target)
    batches(target, service="localhost:1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "a dispatcher has a --port"),
        (("--port", "5050", "--worker-address", "a:1"), "no --worker-address"),
        (("--port", "70000"), "1 to 65535"),
        (("--dispatcher", "server"), "HOST:PORT"),
        (("--dispatcher", "server:1", "--work-dir", "x"), "is a dispatcher's"),
    ],
)
def test_the_command_refuses(command, monkeypatch, arguments, message):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(signal, "signal", lambda *args: None)
    code, output, (line,) = command("data-service", "--address", "0.0.0.0", *arguments)
    assert (code, output) == (1, "")
    assert message.lower() in line.lower()


def test_nobody_listens_everywhere_without_a_word(command, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for arguments in ((), ("--address", "10.0.0.1")):
        code, _, (line,) = command("data-service", "--port", "5050", *arguments)
        assert code == 1
        assert re.search("every interface.*read, write and run.*--address 0.0.0", line)


def test_a_port_in_use(command, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(signal, "signal", lambda *args: None)
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, (line,) = command(
            "data-service", "--address", "0.0.0.0", "--port", port
        )
    assert code == 1
    assert f"in use. Received: --port {port}" in line


def _start(*arguments, cwd):
    command = [sys.executable, "-m", "keras_effnet", "data-service", *arguments]
    command += ["--address", "0.0.0.0"]
    process = subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline()


@pytest.mark.slow
def test_a_worker_is_killed(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    dispatcher, line = _start("--port", str(port), cwd=tmp_path)
    assert re.fullmatch(rf"dispatcher at .+:{port}\n", line)
    address = f"localhost:{port}"
    workers = []
    for _ in range(2):
        worker, line = _start("--dispatcher", address, cwd=tmp_path)
        assert line.startswith("worker at 127.0.0.1:") or "[::1]" in line
        workers.append(worker)
    try:
        lines = []
        local = batches(folder.name)
        served = batches(folder.name, service=address, progress=lines.append)
        served._service._ahead = 2
        served._service._patience = 10
        iterator = served.epoch(0).as_numpy_iterator()
        found = [next(iterator)]
        os.kill(workers[0].pid, signal.SIGKILL)
        found += iterator
        expected = list(local.epoch(0).as_numpy_iterator())
        assert len(found) == len(expected) == STEPS
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours[0], theirs[0])
            np.testing.assert_array_equal(ours[1], theirs[1])
        # The dead one has no part in the next epoch.
        lines.clear()
        assert_same(served.epoch(1), local.epoch(1))
        assert not readers()
        workers[1].send_signal(signal.SIGTERM)
        dispatcher.send_signal(signal.SIGINT)
        assert (workers[1].wait(30), dispatcher.wait(30)) == (0, 0)
    finally:
        for process in (dispatcher, *workers):
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_python_ends_in_the_middle_of_an_epoch():
    script = """
import numpy as np, tensorflow as tf
from keras_effnet.data.service import DataService
service = tf.data.experimental.service
dispatcher = service.DispatchServer()
address = dispatcher.target.removeprefix("grpc://")
worker = service.WorkerServer(service.WorkerConfig(dispatcher_address=address))
draw = lambda a, b: tf.data.Dataset.range(a, b).map(lambda step: (step, step))
iterator = iter(DataService(address, print).batches(draw, 0, 10_000).prefetch(4))
next(iterator)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
