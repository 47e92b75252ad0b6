"""What a model costs to run: multiplications counted in the flatbuffer, and its time on this machine."""

import time
import zlib
from dataclasses import dataclass
from statistics import median

from .check import engine_for
from .data import Array
from .doctor.work import multiplications
from .flatbuffer import read

_RUNS, _SECONDS = 200, 0.5


@dataclass(frozen=True)
class Cost:
    """macs: multiply-adds of one run; latency_us: the median on this machine, one thread; size_bytes: of the file;
    compressed_bytes: of the file through DEFLATE, as it travels where the way is compressed.
    """

    macs: int
    latency_us: float
    size_bytes: int
    compressed_bytes: int


def cost_of(model: bytes, names: tuple[str, ...], samples: tuple[Array, ...]) -> Cost:
    """names: of the samples, each (samples, *shape without batch). Raises ConversionError where it does not run."""
    from edgewright_runtime.border import to_border

    with engine_for(model) as engine:
        batch = engine.inputs[0].shape[0]
        feeds = [to_border(samples[names.index(spec.name)][:batch], spec) for spec in engine.inputs]
        times: list[int] = []
        end = time.perf_counter() + _SECONDS
        while len(times) < 20 or (len(times) < _RUNS and time.perf_counter() < end):
            began = time.perf_counter_ns()
            engine.invoke(feeds)
            times.append(time.perf_counter_ns() - began)
    return Cost(macs_of(model), median(times[len(times) // 10 :]) / 1000, len(model), len(zlib.compress(model, 9)))


def macs_of(model: bytes) -> int:
    """Multiply-adds of the matrix products and convolutions in one run; a loop's body counts once."""
    return sum(multiplications(read(model)).values())
