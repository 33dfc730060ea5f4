"""A browser, on a phone or here: files run in a page by LiteRT.js."""

import math
import os
import pathlib
from collections.abc import Callable

import numpy as np

from keras_effnet import files
from keras_effnet.benchmarks.native import model_io
from keras_effnet.benchmarks.targets import _litertjs
from keras_effnet.benchmarks.targets import _page_address
from keras_effnet.benchmarks.targets import _page_jobs
from keras_effnet.benchmarks.targets import _page_results
from keras_effnet.benchmarks.targets import _page_server
from keras_effnet.benchmarks.targets import refusals
from keras_effnet.benchmarks.targets.target import UNKNOWN_MEMORY
from keras_effnet.benchmarks.targets.target import UNKNOWN_OPERATORS
from keras_effnet.benchmarks.targets.target import Target
from keras_effnet.benchmarks.targets.target import TargetLost
from keras_effnet.errors import InputError
from keras_effnet.errors import check_one_of

ACCELERATORS = ("wasm", "webgpu")
_DTYPES = ("float32", "int32", "uint8")
_PART_BYTES = 4 * 2**20
_GRACE_SECONDS, _SECONDS_OF_AN_ANSWER = 120, 10
_UNKNOWN_FACTS = dict.fromkeys(("cpu", "governor", "load_average", "thermal"))


class Browser(Target):
    """A page that any browser which reaches this machine opens, and that stays open.

    Nothing is served before the first file; then `tell` gets the page's address.

    Args:
        host: The interface that serves it: this machine alone by default, `"0.0.0.0"`
            or an interface's address for the network's phones.
        port: Its port; 0 for any that is free.
        accelerator: `"wasm"`, the processor, or `"webgpu"`.
        timeout_seconds: For so long a page that nobody opens is waited for.
        litertjs: A folder where npm has installed LiteRT.js; `None` fetches it, once.
        tell: Called with the address and its QR code, text of some lines.

    Attributes:
        url: The page's address, with the token that lets the page in.

    Raises:
        InputError: The page can't be served there, or LiteRT.js is not to be had.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        accelerator: str = "wasm",
        timeout_seconds: float = 300,
        litertjs: str | os.PathLike | None = None,
        tell: Callable[[str], object] = print,
    ) -> None:
        check_one_of("accelerator", accelerator, ACCELERATORS)
        packages = _litertjs.runtime(litertjs)
        self.name = "browser" if accelerator == "wasm" else f"browser:{accelerator}"
        self._accelerator = accelerator
        self.most_threads = 1 if accelerator == "webgpu" else None
        self._timeout_seconds = timeout_seconds
        self._tell = tell
        self._told = False
        self._jobs = _page_jobs.PageJobs()
        files = _page_server.page_files() | _litertjs.served(packages)
        self._server = _page_server.PageServer(host, port, files, self._jobs)
        self.url = _page_address.address(self._server, self._jobs.token)

    def close(self):
        self._jobs.end()
        self._server.close()

    def check(self, path):
        """Finds out without a page whether LiteRT.js takes a file; `model_io.described`
        of it."""
        described = model_io.described(path)
        for kind in ("inputs", "outputs"):
            if len(described[kind]) != 1:
                raise InputError(
                    "A browser measures files with one input and one output. "
                    f"Received: {str(path)!r} with {len(described[kind])} {kind}"
                )
        (source,), (target,) = described["inputs"], described["outputs"]
        if -1 in source["shape_signature"]:
            raise InputError(
                "LiteRT.js takes no open batch; `--batch-size 1` of keras-effnet "
                f"export fixes it. Received: {str(path)!r}"
            )
        refused = {source["dtype"], target["dtype"]}.difference(_DTYPES)
        if refused:
            raise InputError(
                f"LiteRT.js takes and gives {', '.join(_DTYPES)} alone; `--input-type "
                "float32` or `uint8` of keras-effnet export gives an int8 file such "
                f"ends. Received: {str(path)!r} with {' and '.join(sorted(refused))}"
            )
        return described

    def measure(self, path, request):
        """Runs a file again and again in a fresh worker of the page.

        The page warms up for at least a second and, within five, 60 runs, however
        little is asked for: browsers compile WebAssembly again while it runs. Where
        their clock is coarse several runs share one time, their mean
        (`device["runs_per_time"]`). With WebGPU a run ends when its output is read.
        Memory and operators are unknown. In `device` there are what the page tells of
        the browser, the clock's step `timer_resolution_ms`, `battery` `before` and
        `after` the round or `None`, `was_hidden`, and `gpu` or `None`."""
        described = self.check(path)
        self._check_request(request)
        message = {"kind": "measure", "request": request, "threads": request["threads"]}
        inputs = [model_io.random_input_bytes(path)]
        seconds = _GRACE_SECONDS + 4 * request["max_seconds"]
        job = self._done(path, described, message, inputs, seconds)
        output = job.outputs[0]
        return {
            **_page_results.nanoseconds(job.result["times"]),
            "memory": dict(UNKNOWN_MEMORY),
            "operators": dict(UNKNOWN_OPERATORS),
            **described,
            **model_io.digested(output),
            "runtime": {
                "name": "LiteRT.js",
                "version": _litertjs.VERSION,
                **job.result["runtime"],
            },
            "device": {**_UNKNOWN_FACTS, **job.result["device"]},
        }

    def answers(self, path, inputs):
        described = self.check(path)
        (source,), (target,) = described["inputs"], described["outputs"]
        if [1, *inputs.shape[1:]] != source["shape"] or inputs.dtype != source["dtype"]:
            shape = ", ".join(map(str, ("n", *source["shape"][1:])))
            raise InputError(
                f"`inputs` must be of the shape ({shape}) and of {source['dtype']}, "
                f"for a file of a batch of 1. Received: {inputs.shape} of "
                f"{inputs.dtype} for {str(path)!r}"
            )
        rows = max(1, _PART_BYTES // inputs[0].nbytes)
        starts = range(0, len(inputs), rows)
        parts = [inputs[start : start + rows].tobytes() for start in starts]
        message = {"kind": "answers", "rows": len(inputs), "threads": 1}
        seconds = _GRACE_SECONDS + _SECONDS_OF_AN_ANSWER * len(inputs)
        job = self._done(path, described, message, parts, seconds)
        output = b"".join(job.outputs[part] for part in range(len(parts)))
        answers = np.frombuffer(output, target["dtype"])
        return answers.reshape(len(inputs), *target["shape"][1:]).copy()

    def _check_request(self, request):
        if not request["xnnpack"]:
            raise InputError("LiteRT.js always uses XNNPACK. Received: xnnpack=False")
        if self._accelerator == "webgpu" and request["threads"] != 1:
            raise InputError(
                "WebGPU has no number of threads; leave it at 1. "
                f"Received: threads={request['threads']!r}"
            )

    def _done(self, path, described, message, inputs, seconds):
        """Has the page do a job; the `Job` with its outputs and result."""
        (source,), (target,) = described["inputs"], described["outputs"]
        row, output = _bytes_of(source), _bytes_of(target)
        digest = files.checksum(path)
        message |= {
            "file": pathlib.Path(path).stem,
            "sha256": digest,
            "runtime": f"/runtime/{_litertjs.VERSION}",
            "accelerator": self._accelerator,
            "input": {key: source[key] for key in ("dtype", "shape")},
            "output_bytes": output,
        }
        sizes = [len(part) // row * output for part in inputs]
        job = _page_jobs.Job(message, pathlib.Path(path), inputs, sizes)
        if not self._told:
            self._server.start()
            self._tell(_page_address.invitation(self._server, self.url))
            self._told = True
        try:
            self._jobs.run(job, self._timeout_seconds, seconds)
        except _page_jobs.Absent:
            raise InputError(
                f"Nobody opened the page within {self._timeout_seconds:g} seconds. "
                f"Received: {self.url!r}"
            ) from None
        except _page_jobs.Late:
            raise refusals.late(path, seconds, " in the browser") from None
        except _page_jobs.Lost as lost:
            raise TargetLost(
                f"The page went away in mid-run: {lost}; keep it in front and the "
                f"screen on. Received: {str(path)!r}"
            ) from None
        _page_results.check(job, path)
        return job


def _bytes_of(tensor):
    return np.dtype(tensor["dtype"]).itemsize * math.prod(tensor["shape"])
