"""How long a network takes to build, here and in keras.applications.

    python benchmarks/studies/peers/build_time.py

One process, the two builders in turn, `weights=None`, a cleared session ahead
of each. Writes results/build_time.json.
"""

import gc
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import keras_effnet
from keras_effnet.benchmarks.studies import comparison

NETWORKS = ("EfficientNetV2S", "EfficientNetB0")
TARGET = 1.0


def build(constructor):
    keras.backend.clear_session()
    gc.collect()
    start = time.perf_counter_ns()
    constructor(weights=None)
    return time.perf_counter_ns() - start


def measure(args):
    results = {}
    for network in args.network:
        sides = {
            package.__name__: lambda package=package, network=network: build(
                getattr(package, network)
            )
            for package in (keras_effnet, keras.applications)
        }
        comparison.in_turn(sides, 1)  # the first build traces what later ones find done
        results[network] = comparison.interleaved(sides, args.pairs)
    yield comparison.pairs_of(TARGET, results)


main = comparison.study(
    measure, counts={"--pairs": (11, 1, "of builds")}, networks=NETWORKS, idle=True
)
