"""Measures model files; and the scripts behind every number in the documents."""

from keras_effnet import lazy
from keras_effnet.benchmarks.measuring import benchmark
from keras_effnet.benchmarks.measuring import benchmark_many
from keras_effnet.benchmarks.results_text import table
from keras_effnet.benchmarks.schema import BenchmarkResult
from keras_effnet.benchmarks.session import measure

__all__ = ["BenchmarkResult", "benchmark", "benchmark_many", "measure", "table"]

__getattr__ = lazy.modules(__name__)
