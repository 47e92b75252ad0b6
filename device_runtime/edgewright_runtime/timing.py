"""Time the runs of a loaded model, each by itself, in blocks.

Between the two readings of the clock there is the model's run and nothing else. Copying inputs and outputs is timed
around it; keeping the samples, 8 bytes each, and deciding whether to go on happens after.
"""

import gc
from array import array
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns

from .engines import Array, Engine, decisive_line
from .errors import EngineError
from .limits import MAX_RUNS
from .quantiles import percentile

# The median of a window is compared with those of the two windows before.
WARMUP_RUNS, WARMUP_NS = 10, 5_000_000
WARMUP_TOLERANCE = 0.05
WARMUP_CAP_NS = 2_000_000_000


class Timing:
    """The runs so far, cycling through the samples.

    latency_ns: of each run alone; call_ns: with the copies of its inputs and outputs; at_ns: when it began, on the
    monotonic clock.
    """

    def __init__(self, engine: Engine, samples: list[list[Array]]) -> None:
        self._engine, self._samples = engine, samples
        self._next = 0
        self.latency_ns, self.call_ns, self.at_ns = array("q"), array("q"), array("q")

    @property
    def kept_bytes(self) -> int:
        """The memory of the samples of time."""
        return sum(len(kept) * kept.itemsize for kept in (self.latency_ns, self.call_ns, self.at_ns))

    def warm_up(self) -> "array[int]":
        """Run until the median no longer moves: those of the last three windows lie within 5 %, or the cap is reached.

        Returns the time of each run.
        """
        medians: deque[int] = deque(maxlen=3)
        deadline = perf_counter_ns() + WARMUP_CAP_NS
        while True:
            start = len(self.latency_ns)
            self.block(WARMUP_RUNS, WARMUP_NS, MAX_RUNS, deadline)
            medians.append(percentile(self.latency_ns[start:], 50))
            settled = len(medians) == 3 and max(medians) - min(medians) <= WARMUP_TOLERANCE * min(medians)
            if settled or perf_counter_ns() >= deadline or len(self.latency_ns) >= MAX_RUNS:
                warmup = self.latency_ns
                self.latency_ns, self.call_ns, self.at_ns = array("q"), array("q"), array("q")
                return warmup

    def discard(self, runs: int, ns: int) -> None:
        """Run without keeping: what another process has driven out of the caches comes back."""
        kept = len(self.latency_ns)
        self.block(runs, ns)
        for samples in (self.latency_ns, self.call_ns, self.at_ns):
            del samples[kept:]

    def block(self, min_runs: int, min_ns: int, max_runs: int = MAX_RUNS, deadline: int = 1 << 62) -> int:
        """At least so many runs and so long, but neither over ``max_runs`` nor the deadline. Returns how many."""
        clock, samples, index = perf_counter_ns, self._samples, self._next
        feed, run, fetch, last = self._engine.feed, self._engine.run, self._engine.fetch, len(samples) - 1
        keep_latency, keep_call, keep_at = self.latency_ns.append, self.call_ns.append, self.at_ns.append
        count = 0
        with _no_collection(), _engine_errors(self._engine):
            ends = clock() + min_ns
            while True:
                inputs = samples[index]
                called = clock()
                feed(inputs)
                started = clock()
                run()
                ended = clock()
                fetch()
                now = clock()
                keep_latency(ended - started)
                keep_call(now - called)
                keep_at(started)
                count += 1
                index = index + 1 if index < last else 0
                if (count >= min_runs and now >= ends) or count >= max_runs or now >= deadline:
                    break
        self._next = index
        return count

    def count(self, start_ns: int, end_ns: int) -> "array[int]":
        """Call the model as fast as it goes between two instants of the monotonic clock; the time of each call."""
        clock, samples, index = perf_counter_ns, self._samples, 0
        feed, run, fetch, calls = self._engine.feed, self._engine.run, self._engine.fetch, array("q")
        with _no_collection(), _engine_errors(self._engine):
            while clock() < start_ns:
                pass
            called = clock()
            while called < end_ns:
                feed(samples[index])
                run()
                fetch()
                now = clock()
                calls.append(now - called)
                called = now
                index = (index + 1) % len(samples)
        return calls


@contextmanager
def _no_collection() -> Iterator[None]:
    """The garbage collector's pauses belong to Python, not to the model."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def _engine_errors(engine: Engine) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise EngineError(f"{engine.name} failed while running the model: {decisive_line(error)}") from error
