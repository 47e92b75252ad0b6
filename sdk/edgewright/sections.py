"""The tables behind the first one. Each is text in columns, for the terminal, Markdown and the page alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from edgewright_runtime.quantiles import percentile, percentile_interval, single_stream
from edgewright_runtime.result import BenchResult

from .comparison import CONFIDENCE, pairs
from .quantities import NOTHING, digits, labels, megabytes

PERCENTS = (50, 90, 95, 99)
STARTUP = {
    "interpreter": "Python",
    "import": "import",
    "load": "load",
    "allocate": "allocate",
    "first_invoke": "first answer",
}
MEMORY = {
    "interpreter": "Python",
    "imported": "imported",
    "allocated": "allocated",
    "first_invoke": "first run",
    "last_invoke": "last run",
    "peak": "peak",
}
MOST_PARTS = 12  # of a profile; the others together are one line


@dataclass(frozen=True)
class Section:
    """columns: their titles, the first of what the line is about; lines: as many texts each; note: what to know."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    note: str = ""


def sections(results: Sequence[BenchResult]) -> list[Section]:
    """Those that these results allow."""
    names = labels(results)
    every = (_latency, _comparisons, _startup, _memory, _throughput, _energy)
    found = [section for make in every if (section := make(results, names)).lines]
    return found + [
        section for result, name in zip(results, names, strict=True) if (section := operators(result, name)).lines
    ]


def _latency(results: Sequence[BenchResult], names: list[str]) -> Section:
    asked = any(result.settings["single_stream"] for result in results)
    lines = []
    for result, name in zip(results, names, strict=True):
        cells = [name, f"{len(result.latency_ns):,}", *(_percentile(result, percent) for percent in PERCENTS)]
        if asked:
            estimate = single_stream(result.call_ns) if result.settings["single_stream"] else None
            cells.append(NOTHING if estimate is None else digits(estimate / 1e3))
        lines.append(tuple(cells))
    columns = ("latency, µs", "runs", *(f"p{percent}" for percent in PERCENTS))
    note = "In brackets: the 95 % interval by order statistics; no percentile from fewer runs than its interval takes."
    if asked:
        columns += ("single stream",)
        note += " Single stream: MLPerf's early-stopping estimate of p90 of the whole call, with 99 % confidence."
    return Section("Latency", columns, tuple(lines), note)


def _percentile(result: BenchResult, percent: int) -> str:
    interval = percentile_interval(result.latency_ns, percent)
    if interval is None:
        return NOTHING
    value = digits(percentile(result.latency_ns, percent) / 1e3)
    return f"{value} ({digits(interval.low / 1e3)}–{digits(interval.high / 1e3)})"


def _comparisons(results: Sequence[BenchResult], names: list[str]) -> Section:
    name = {id(result): text for result, text in zip(results, names, strict=True)}
    lines, turns = [], 0
    for pair in pairs(results):
        interval = NOTHING if pair.interval is None else f"{pair.interval.low:.3f}–{pair.interval.high:.3f}"
        lines.append(
            (f"{name[id(pair.second)]} to {name[id(pair.first)]}", f"{pair.ratio:.3f}×", interval, pair.verdict)
        )
        turns = max(turns, pair.units)
    note = f"Of the median latencies, in pairs of {turns} processes each that took turns in random order."
    return Section(
        "Compared pair by pair", ("model", "ratio", f"{CONFIDENCE:.0%} interval", "verdict"), tuple(lines), note
    )


def _startup(results: Sequence[BenchResult], names: list[str]) -> Section:
    lines = []
    for result, name in zip(results, names, strict=True):
        parts_ms = [median(result.startup_ns[step]) / 1e6 for step in STARTUP]
        lines.append((name, *(digits(part) for part in parts_ms), digits(sum(parts_ms))))
    note = "Of a new process; files may still be in the system's memory. Medians where there were several processes."
    return Section("Cold start", ("start, ms", *STARTUP.values(), "in all"), tuple(lines), note)


def _memory(results: Sequence[BenchResult], names: list[str]) -> Section:
    lines = []
    for result, name in zip(results, names, strict=True):
        resident = [megabytes(result.memory_of(step)) for step in MEMORY]
        pss = megabytes(result.pss_bytes.get("last_invoke"))
        harness = megabytes(result.memory_bytes.get("harness"))
        lines.append((name, *(_one_decimal(value) for value in (*resident, pss, harness))))
    note = (
        "Resident in the model's process. What the harness itself holds is subtracted after the allocation, and told "
        "last. PSS counts shared memory in part."
    )
    return Section("Memory", ("memory, MB", *MEMORY.values(), "PSS", "harness"), tuple(lines), note)


def _throughput(results: Sequence[BenchResult], names: list[str]) -> Section:
    lines = [
        (
            name,
            str(load["callers"]),
            str(load["threads"]),
            digits(load["per_second"]),
            digits(load["p50_ns"] / 1e3),
            digits(load["p90_ns"] / 1e3),
        )
        for result, name in zip(results, names, strict=True)
        for load in result.throughput
    ]
    note = "Each caller is a process that asks as fast as it is answered; latencies are of whole calls."
    return Section(
        "Throughput", ("model", "callers", "threads", "calls per second", "p50 µs", "p90 µs"), tuple(lines), note
    )


def _energy(results: Sequence[BenchResult], names: list[str]) -> Section:
    lines, counters = [], set()
    for result, name in zip(results, names, strict=True):
        if result.energy is not None:
            found = result.energy
            counters.add(found["counter"])
            lines.append(
                (
                    name,
                    digits(found["joules_per_run"] * 1e3),
                    digits(max(0.0, found["above_idle_joules_per_run"]) * 1e3),
                    digits(found["busy_watts"]),
                    digits(found["idle_watts"]),
                )
            )
    note = f"As {', '.join(sorted(counters))} tells."
    return Section("Energy", ("model", "mJ per call", "above idle", "W busy", "W idle"), tuple(lines), note)


def operators(result: BenchResult, name: str) -> Section:
    """Where the bytes go, and, with a profile, the time: those that take most."""
    timed = result.profile is not None
    lines = sorted(_parts(result), key=lambda line: (line[2], line[1]), reverse=True)
    shown, rest = lines[:MOST_PARTS], lines[MOST_PARTS:]
    if rest:
        shown.append((f"{len(rest)} others", sum(line[1] for line in rest), sum(line[2] for line in rest)))
    total_ns = sum(line[2] for line in lines) or 1
    columns = ("operator", "bytes of weights", *(("µs", "share") if timed else ()))
    note = ""
    if result.profile is not None:
        note = (
            f"Time: an estimate by cutting the graph behind each operator; the whole takes "
            f"{digits(result.profile['whole_ns'] / 1e3)} µs. A cut keeps the engine from fusing across it."
        )
    return Section(
        f"Operators of {name}",
        columns,
        tuple(
            (what, f"{size:,}", *((digits(ns / 1e3), f"{ns / total_ns:.0%}") if timed else ()))
            for what, size, ns in shown
        ),
        note,
    )


def _parts(result: BenchResult) -> Iterator[tuple[str, int, int]]:
    """(what, bytes, nanoseconds) of each part of the graph: an operator, or several where the profile has no more."""
    known = result.operators
    if not known:
        return
    parts = result.profile["parts"] if result.profile else [{"first": i, "last": i, "ns": 0} for i in range(len(known))]
    for part in parts:
        inside = known[part["first"] : part["last"] + 1]
        if inside:
            what = f"{part['first']} {inside[0]['operator']}"
            if len(inside) > 1:
                what = f"{part['first']} {inside[0]['operator']} to {part['last']} {inside[-1]['operator']}"
            yield what, sum(operator["bytes"] for operator in inside), part["ns"]


def _one_decimal(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"
