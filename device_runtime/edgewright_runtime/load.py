"""A model under load: how many calls a second it answers, and what energy that takes."""

from contextlib import ExitStack
from pathlib import Path
from time import perf_counter_ns, sleep
from typing import Any, Optional

from .conductor import Process
from .energy import INTERVAL_S, Counter, Reading, energy_document, find_counter
from .plan import Plan
from .quantiles import percentile

_LEAD_NS = 50_000_000  # for every caller to have heard before they begin together
_MIN_SECONDS, _MAX_SECONDS = 0.3, 10.0


def throughput(bundle: Path, plan: Plan, data: Optional[Path]) -> list[dict[str, Any]]:
    """One caller with 1, 2, … threads, then 2, … callers, each a process, with one thread: up to plan.throughput."""
    found = []
    for threads in range(1, plan.throughput + 1):
        with _caller(bundle, plan, data, threads) as process:
            found.append(_measure([process], threads, _seconds(plan)))
    with ExitStack() as stack:
        callers = [stack.enter_context(_caller(bundle, plan, data, 1))] if plan.throughput > 1 else []
        while 1 <= len(callers) < plan.throughput:
            callers.append(stack.enter_context(_caller(bundle, plan, data, 1)))
            found.append(_measure(callers, 1, _seconds(plan)))
    return found


def energy(bundle: Path, plan: Plan, data: Optional[Path], root: Path = Path("/")) -> Optional[dict[str, Any]]:
    """What a run takes, beside what the board takes anyway; None where it has no counter that can be read."""
    counter = find_counter(root)
    if counter is None:
        return None
    with _caller(bundle, plan, data, plan.threads) as process:
        idle = _read(counter, _seconds(plan))
        start_ns = perf_counter_ns() + _LEAD_NS
        process.tell("count", start_ns=start_ns, end_ns=start_ns + round(_seconds(plan) * 1e9))
        _wait_until(start_ns)
        busy = _read(counter, _seconds(plan))
        runs = len(process.hear()["calls_ns"])
    return energy_document(counter, idle, busy, runs)


def _caller(bundle: Path, plan: Plan, data: Optional[Path], threads: int) -> Process:
    """A process that is loaded and warm."""
    process = Process(bundle, plan, data, threads)
    try:
        process.ask("load")
        process.ask("warm_up")
    except BaseException:
        process.close()
        raise
    return process


def _measure(callers: list[Process], threads: int, seconds: float) -> dict[str, Any]:
    start_ns = perf_counter_ns() + _LEAD_NS
    for caller in callers:
        caller.tell("count", start_ns=start_ns, end_ns=start_ns + round(seconds * 1e9))
    each = [caller.hear()["calls_ns"] for caller in callers]
    calls_ns = [duration_ns for calls in each for duration_ns in calls]
    return {
        "callers": len(callers),
        "threads": threads,
        # Each by the time that its own calls took: the last one ends a little late.
        "per_second": sum(len(calls) / (sum(calls) / 1e9) for calls in each),
        "p50_ns": percentile(calls_ns, 50),
        "p90_ns": percentile(calls_ns, 90),
    }


def _read(counter: Counter, seconds: float) -> list[Reading]:
    """Energy that is counted at both ends; power that is told for a moment again and again."""
    readings, end_ns = [], perf_counter_ns() + round(seconds * 1e9)
    while True:
        value, now = counter.read(), perf_counter_ns()
        if value is not None:
            readings.append(Reading(now, value))
        if now >= end_ns:
            return readings
        left_s = (end_ns - now) / 1e9
        sleep(max(0.0, left_s if counter.cumulative else min(INTERVAL_S, left_s)))


def _wait_until(instant_ns: int) -> None:
    sleep(max(0.0, (instant_ns - perf_counter_ns()) / 1e9))


def _seconds(plan: Plan) -> float:
    return min(_MAX_SECONDS, max(_MIN_SECONDS, plan.min_seconds))
