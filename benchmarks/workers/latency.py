"""Measures one .tflite file in a process of its own; prints one line of JSON.

    python -P latency.py '{"path": "model.tflite", "threads": 1, ...}'

Needs Python, NumPy and ai-edge-litert only: neither Keras nor TensorFlow may
stand in the process whose memory is measured, so it is run by its file path and
imports nothing of this package. The line holds the measurement, or `error`.
"""

import array
import base64
import gc
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
import time

import numpy as np


def main(options):
    # Ahead of the base line of memory: the runtime's own code isn't the model's.
    from ai_edge_litert import interpreter as litert

    resolver = (
        litert.OpResolverType.AUTO
        if options["xnnpack"]
        else litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    make = {
        "model_path": options["path"],
        "num_threads": options["threads"],
        "experimental_op_resolver_type": resolver,
    }
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    rng = np.random.default_rng(0)  # imports on first use, before the base line
    gc.collect()
    gc.disable()
    peak_is_measured = reset_peak_memory()
    base_kb = memory_kb("VmRSS")

    start = time.perf_counter_ns()
    interpreter = litert.Interpreter(**make)
    check_input_shapes(interpreter)
    interpreter.allocate_tensors()
    init_ns = time.perf_counter_ns() - start
    init_kb, init_peak_kb = memory_kb("VmRSS"), memory_kb("VmHWM")

    inputs = interpreter.get_input_details()
    for detail in inputs:
        interpreter.set_tensor(detail["index"], random_input(detail, rng))
    reset_peak_memory()  # making the inputs took more than they take

    first_ns, *_ = timed_runs(interpreter.invoke, 1, 0, 0)
    limit = options["max_seconds"]
    warmup_ns = timed_runs(
        interpreter.invoke, options["warmup_runs"], options["warmup_seconds"], limit
    )
    latency_ns = timed_runs(
        interpreter.invoke, options["min_runs"], options["min_seconds"], limit
    )

    overall_kb, peak_kb = memory_kb("VmRSS"), memory_kb("VmHWM")
    if peak_kb is not None:
        peak_kb = max(init_peak_kb, peak_kb)
    outputs = interpreter.get_output_details()
    output = b"".join(interpreter.get_tensor(d["index"]).tobytes() for d in outputs)

    operators = {"partitions": delegate_partitions(interpreter)}
    del interpreter  # the next one may be as large
    operators["undelegated"] = undelegated_operators(litert, make)
    return {
        "init_ns": init_ns,
        "first_ns": first_ns,
        "warmup_ns": warmup_ns.tolist(),
        "latency_ns": latency_ns.tolist(),
        "memory": {
            "init_footprint_kb": difference(init_kb, base_kb),
            "overall_footprint_kb": difference(overall_kb, base_kb),
            "peak_footprint_kb": (
                difference(peak_kb, base_kb) if peak_is_measured else None
            ),
            "peak_mem_mb": None if peak_kb is None else round(peak_kb / 1024, 3),
        },
        "operators": operators,
        "inputs": [tensor(detail) for detail in inputs],
        "outputs": [tensor(detail) for detail in outputs],
        "output_sha256": hashlib.sha256(output).hexdigest(),
        "output_base64": base64.b64encode(output).decode(),
        "runtime": {
            "name": "ai-edge-litert",
            "version": importlib.metadata.version("ai-edge-litert"),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "device": {**device_facts(), "load_average": load_average},
    }


def timed_runs(invoke, min_runs, min_seconds, max_seconds):
    """Invokes until both minimums are met, or `max_seconds` are over: the nanoseconds
    of each run, around the call only; at least one where a minimum is above zero,
    whatever `max_seconds` says."""
    times = array.array("q")  # 8 bytes a run, where a list would take 40
    clock = time.perf_counter_ns
    begin = clock()
    while len(times) < min_runs or clock() - begin < min_seconds * 1e9:
        start = clock()
        invoke()
        times.append(clock() - start)
        if clock() - begin > max_seconds * 1e9:
            break
    return times


def check_input_shapes(interpreter):
    """Refuses inputs whose size is open; a batch that is open is measured at 1."""
    for detail in interpreter.get_input_details():
        signature = detail["shape_signature"].tolist()
        if -1 in signature[1:]:
            raise ValueError(
                f"The input '{detail['name']}' has the dynamic shape {signature}; "
                "only the batch may be left open. Export it with a fixed size"
            )


def random_input(detail, rng):
    """Pixels: 0-255 for floats, the whole range for 8 bits, 0-255 for wider ones."""
    dtype, shape = np.dtype(detail["dtype"]), detail["shape"]
    if np.issubdtype(dtype, np.floating):
        return rng.uniform(0, 255, shape).astype(dtype)
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(dtype)
    if not np.issubdtype(dtype, np.integer):
        raise ValueError(f"The input '{detail['name']}' is of the type {dtype}")
    low, high = 0, 255
    if dtype.itemsize == 1:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return rng.integers(low, high, shape, dtype=dtype, endpoint=True)


def delegate_partitions(interpreter):
    """How many groups of operators the delegate took over."""
    return sum(op["op_name"] == "DELEGATE" for op in interpreter._get_ops_details())


def undelegated_operators(litert, make):
    """Names and counts of the operators that no delegate took over.

    With fusion off every operator that the delegate takes gets a node of its
    own with the same outputs, so what is left over can be told.
    """
    interpreter = litert.Interpreter(
        **make, experimental_disable_delegate_node_fusion=True
    )
    interpreter.allocate_tensors()
    operators = interpreter._get_ops_details()
    delegated = set()
    for op in operators:
        if op["op_name"] == "DELEGATE":
            delegated.update(op["outputs"].tolist())
    left = {}
    for op in operators:
        if op["op_name"] != "DELEGATE" and not delegated & set(op["outputs"].tolist()):
            left[op["op_name"]] = left.get(op["op_name"], 0) + 1
    return left


def tensor(detail):
    scale, zero_point = detail["quantization"]
    return {
        "name": detail["name"],
        "shape": detail["shape"].tolist(),
        "shape_signature": detail["shape_signature"].tolist(),
        "dtype": np.dtype(detail["dtype"]).name,
        "scale": scale,
        "zero_point": zero_point,
    }


def reset_peak_memory():
    """Makes VmHWM start again from the present size (proc(5), clear_refs)."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def memory_kb(field):
    """A field of /proc/self/status in KiB, `None` where there is no such file."""
    for line in lines_of("/proc/self/status"):
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return None


def difference(after, before):
    return None if after is None or before is None else after - before


def device_facts():
    """What the times depend on: processor, cores, system, governor."""
    names = [
        line.partition(":")[2].strip()
        for line in lines_of("/proc/cpuinfo")
        if line.startswith(("model name", "Hardware", "Model"))
    ]
    governor = lines_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    cores = os.cpu_count()
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return {
        "cpu": names[0] if names else platform.processor() or None,
        "machine": platform.machine(),
        "cores": cores,
        "os": platform.platform(),
        "governor": governor[0] if governor else None,
    }


def lines_of(path):
    try:
        return pathlib.Path(path).read_text().splitlines()
    except OSError:
        return []


if __name__ == "__main__":
    try:
        line = main(json.loads(sys.argv[1]))
    except Exception as error:
        # Whatever the runtime objects to is news about the file, for one line.
        line = {"error": (str(error) or type(error).__name__).split("\n")[0]}
    print(json.dumps(line))
