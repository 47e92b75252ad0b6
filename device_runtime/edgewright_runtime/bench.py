"""Measure one model in this process: start, latency, memory, and then how good its answers are.

One process per model, or the memory is that of all. The samples are the bundle's golden inputs, real ones, in turn.
Timed is the run alone, as the engine's own benchmark tool does it; a call with its copies is recorded beside. The data
set is scored only afterwards, for its memory and its time not to be mistaken for the model's.
"""

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Optional

from .bundle import Bundle
from .errors import InputError
from .facts import board_facts, board_state, process_memory_bytes
from .result import BenchResult, Score

if TYPE_CHECKING:
    from .engines import Array, Engine

MAX_RUNS = 20_000  # enough for any percentile; more samples would fill the memory that is being measured

Progress = Callable[[int, int, str], None]  # done, total, what


def bench(
    bundle: Bundle,
    engine: str = "auto",
    threads: int = 1,
    min_runs: int = 50,
    min_seconds: float = 1.0,
    data: Optional[Path] = None,
    progress: Optional[Progress] = None,
) -> BenchResult:
    """At least ``min_runs`` and ``min_seconds`` of them, MAX_RUNS at most.

    data: an .npz as ``dataset`` reads it, to score the model on. progress: called now and then.
    Raises BundleError, EngineError, InputError.
    """
    if not 1 <= min_runs <= MAX_RUNS or not 0 <= min_seconds <= 3600:
        raise InputError(f"A bench takes 1 to {MAX_RUNS} runs and 0 to 3600 seconds: choose within these.")
    if data is not None and not data.is_file():
        raise InputError(f"There is no file {data}: check the path.")
    variant = bundle.manifest.variant()
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    before = board_state()
    memory = {"before": process_memory_bytes()[0]}
    clock = [perf_counter_ns()]

    from .engines import import_engine  # here, for the cost of numpy and the engine to be measured
    from .model import load_model
    from .timing import Timing

    name, _ = import_engine(engine)
    clock.append(perf_counter_ns())
    with load_model(bundle, name, threads) as loaded:
        clock.append(perf_counter_ns())
        memory["loaded"] = process_memory_bytes()[0]
        samples = _golden_samples(bundle)
        first_started = perf_counter_ns()
        loaded.invoke(samples[0])
        first_invoke = perf_counter_ns() - first_started
        memory["first_invoke"] = process_memory_bytes()[0]
        timing = Timing(loaded, samples, progress)
        warmup = timing.warm_up()
        latency, call = timing.measure(min_runs, int(min_seconds * 1e9), MAX_RUNS)
        memory["peak"] = process_memory_bytes()[1]
        after = board_state()
        score = _score(loaded, data, bundle, progress) if data is not None else None
        version = loaded.version
    return BenchResult(
        bundle={
            "id": bundle.id,
            "name": bundle.manifest.name,
            "mode": variant.mode,
            "layout": variant.layout,
            "size_bytes": bundle.size_bytes,
            "model_bytes": next(file.size_bytes for file in bundle.manifest.files if file.path == variant.path),
        },
        engine={"name": name, "version": version, "threads": threads},
        environment={"board": board_facts(), "before": before, "after": after},
        startup_ns={"import": clock[1] - clock[0], "load": clock[2] - clock[1], "first_invoke": first_invoke},
        warmup_ns=warmup.tolist(),
        latency_ns=latency.tolist(),
        call_ns=call.tolist(),
        memory_bytes=memory,
        score=score,
        started_at=started_at,
    )


def _golden_samples(bundle: Bundle) -> "list[list[Array]]":
    """One list of input arrays for each golden sample."""
    inputs, _ = bundle.golden()
    return [[array[index] for array in inputs] for index in range(len(inputs[0]))]


def _score(engine: "Engine", data: Path, bundle: Bundle, progress: Optional[Progress]) -> Optional[Score]:
    from .dataset import load_dataset, score

    dataset = load_dataset(data, bundle)
    if dataset.labels is None:
        return None
    return score(engine, dataset, progress and (lambda done, total: progress(done, total, "score")))
