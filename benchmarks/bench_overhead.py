"""What the harness adds to each timed invocation, against bare loops around the same interpreter.

    python benchmarks/bench_overhead.py

In one process, blocks of 20 runs take turns in random order: the harness's own, a bare loop of ``invoke()`` alone, and
a bare loop of what the harness calls, the engine's feed, run and fetch. Added to what is measured, which may be 1 µs:
the harness's mean latency minus the first loop's time per run; that is a reading of the clock, and what feeding the
inputs drives out of the caches. Beside it stands what the harness spends around a run without measuring it: the time
of its whole block per run minus the second loop's. Both are medians over neighbouring blocks. The harness's memory is
told too: its modules and the samples of 20,000 runs, which its results subtract. Exit code 1 where the limit is
exceeded.
"""

import sys
import tempfile
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter_ns

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
from unit.models import tiny_model, wide_model, write_bundle

from edgewright_runtime.bench import bench
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.engines import open_engine
from edgewright_runtime.limits import MAX_RUNS
from edgewright_runtime.plan import Plan
from edgewright_runtime.timing import Timing

LIMIT_US = 1.0
RUNS, ROUNDS = 20, 1500


def main() -> int:
    holds = True
    models = {"tiny": (tiny_model(), (1, 4)), "4x128-of-16": (wide_model(4, 128, 16), (16, 128))}
    print(f"{'model':>14}{'one run µs':>12}{'added to it µs':>16}{'added around it µs':>20}")
    for name, (model, shape) in models.items():
        run_us, inside_us, around_us = added(model, np.ones(shape, np.float32))
        holds &= inside_us <= LIMIT_US
        print(f"{name:>14}{run_us:>12.2f}{inside_us:>+16.2f}{around_us:>+20.2f}")
    print(
        f"added to it, at most {LIMIT_US:g} µs: {'holds' if holds else 'EXCEEDED'}; {clock_us():.2f} of it: the clock"
    )
    print(f"memory of the harness with {MAX_RUNS:,} runs: {memory_mb():.2f} MB, subtracted from what is reported")
    return 0 if holds else 1


def added(model: bytes, sample: "np.ndarray") -> tuple[float, float, float]:
    """(time of a run, added to what is measured of it, added around it), in µs."""
    with open_engine(model, "litert") as engine:
        interpreter = engine._interpreter  # the very same one: two of them lie in different places
        samples = [sample]
        timing, random = Timing(engine, [samples]), Random(0)

        def harness() -> tuple[float, float]:
            started = perf_counter_ns()
            timing.block(RUNS, 0)
            whole = (perf_counter_ns() - started) / RUNS
            return sum(timing.latency_ns[-RUNS:]) / RUNS, whole

        def bare_invoke() -> float:
            started = perf_counter_ns()
            for _ in range(RUNS):
                interpreter.invoke()
            return (perf_counter_ns() - started) / RUNS

        def bare_call() -> float:
            started = perf_counter_ns()
            for _ in range(RUNS):
                engine.feed(samples)
                engine.run()
                engine.fetch()
            return (perf_counter_ns() - started) / RUNS

        timing.warm_up()
        runs, inside, around = [], [], []
        for _ in range(ROUNDS):
            took = {}
            for loop in random.sample((harness, bare_invoke, bare_call), 3):
                took[loop] = loop()
            latency, whole = took[harness]
            runs.append(took[bare_invoke])
            inside.append(latency - took[bare_invoke])
            around.append(whole - took[bare_call])
        return median(runs) / 1e3, median(inside) / 1e3, median(around) / 1e3


def clock_us() -> float:
    """One reading."""
    times = []
    for _ in range(ROUNDS):
        started = perf_counter_ns()
        for _ in range(RUNS):
            perf_counter_ns()
        times.append((perf_counter_ns() - started) / RUNS)
    return median(times) / 1e3


def memory_mb() -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = write_bundle(Path(folder) / "tiny.ewb", tiny_model(), [np.ones((1, 1, 4), np.float32)])
        (result,) = bench([Bundle.open(path)], Plan(min_runs=MAX_RUNS, min_seconds=0))
    return (result.memory_bytes["harness"] or 0) / 1e6


if __name__ == "__main__":
    sys.exit(main())
