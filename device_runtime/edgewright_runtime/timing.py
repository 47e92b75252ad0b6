"""Time the runs of a loaded model, each by itself."""

import gc
from array import array
from collections.abc import Callable
from time import perf_counter_ns
from typing import Optional

from .engines import Array, Engine, decisive_line
from .errors import EngineError
from .result import percentile

WARMUP_WINDOW = 10  # runs whose median is compared with that of the window before
WARMUP_TOLERANCE = 0.05
WARMUP_CAP_NS = 2_000_000_000


class Timing:
    """The loops of runs, cycling through the samples. Samples of time are kept in 8 bytes each, not in objects."""

    def __init__(
        self, engine: Engine, samples: list[list[Array]], progress: Optional[Callable[[int, int, str], None]] = None
    ) -> None:
        self._engine, self._samples, self._progress = engine, samples, progress
        self._next = 0

    def warm_up(self) -> "array[int]":
        """Run until the median of a window is within 5 % of the last window's, or the cap is reached."""
        latency, last = array("q"), 0
        deadline = perf_counter_ns() + WARMUP_CAP_NS
        while True:
            for _ in range(WARMUP_WINDOW):
                latency.append(self._run()[0])
                if perf_counter_ns() > deadline:
                    return latency
            middle = percentile(latency[-WARMUP_WINDOW:], 50)
            if abs(middle - last) <= WARMUP_TOLERANCE * last:
                return latency
            last = middle

    def measure(self, min_runs: int, min_ns: int, max_runs: int) -> "tuple[array[int], array[int]]":
        """The time of each run alone, and with the copies of its inputs and outputs."""
        latency, call = array("q"), array("q")
        started = reported = perf_counter_ns()
        collecting = gc.isenabled()
        gc.disable()  # its pauses belong to Python, not to the model
        try:
            while len(latency) < max_runs:
                now = perf_counter_ns()
                if len(latency) >= min_runs and now - started >= min_ns:
                    break
                if self._progress is not None and now - reported > 100_000_000:
                    reported = now
                    self._progress(_percent(len(latency), min_runs, now - started, min_ns), 100, "bench")
                run_ns, call_ns = self._run()
                latency.append(run_ns)
                call.append(call_ns)
        finally:
            if collecting:
                gc.enable()
        if self._progress is not None:
            self._progress(100, 100, "bench")
        return latency, call

    def _run(self) -> tuple[int, int]:
        engine, inputs = self._engine, self._samples[self._next]
        self._next = (self._next + 1) % len(self._samples)
        started = perf_counter_ns()
        engine.feed(inputs)
        run_started = perf_counter_ns()
        try:
            engine.run()
        except RuntimeError as error:
            raise EngineError(f"{engine.name} failed while running the model: {decisive_line(error)}") from error
        run_ended = perf_counter_ns()
        engine.fetch()
        return run_ended - run_started, perf_counter_ns() - started


def _percent(runs: int, min_runs: int, elapsed_ns: int, min_ns: int) -> int:
    return min(99, 100 * runs // min_runs, 100 * elapsed_ns // max(1, min_ns))
