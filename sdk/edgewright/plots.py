"""What the report draws of its results: one function for each plot, on a figure that it is given."""

import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from edgewright_runtime.quantiles import percentile
from edgewright_runtime.result import BenchResult

from .quantities import digits
from .styles import INK, MARKERS, color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS = 200  # draw a curve as well as 20,000 samples, in a hundredth of the bytes
_KINDS = 6  # of operators with a colour each; the others share one
_STEPS = {
    "interpreter": "Python",
    "imported": "numpy, engine",
    "allocated": "model",
    "first_invoke": "first run",
    "last_invoke": "all runs",
    "peak": "up to the peak",
}


def trade(figure: "Figure", results: Sequence[BenchResult], labels: list[str]) -> None:
    """Colours tell the models, marks the devices."""
    axes = figure.add_subplot()
    largest = max(result.bundle["model_bytes"] for result in results)
    devices = list(dict.fromkeys(result.device for result in results))
    for index, result in enumerate(results):
        latency, _, loss = _aims(result)
        mark = MARKERS[devices.index(result.device) % len(MARKERS)]
        area = max(1500 * result.bundle["model_bytes"] / largest, 12)
        axes.scatter(latency, -loss, area, color=color(index), marker=mark, alpha=0.75, linewidths=0)
        # The legend's mark is as large for a small model as for a large one.
        axes.plot([], [], mark, color=color(index), label=labels[index])
    for device in devices:
        front = sorted(_aims(result) for result in pareto([r for r in results if r.device == device]))
        axes.plot([aim[0] for aim in front], [-aim[2] for aim in front], ":", color=INK, linewidth=1)
    latencies, accuracies = zip(*((latency, -loss) for latency, _, loss in map(_aims, results)), strict=True)
    spread = max(max(accuracies) - min(accuracies), 0.02)
    axes.set_ylim(min(accuracies) - spread, max(accuracies) + spread)
    axes.set_xlim(0, max(latencies) * 1.25)
    axes.set_xlabel("p50 latency, µs")
    axes.set_ylabel("accuracy")
    _legend_above(axes)


def pareto(results: Sequence[BenchResult]) -> list[BenchResult]:
    """Those than which no other is at least as fast, as small and as accurate, and better in one of these."""
    aims = [_aims(result) for result in results]

    def beaten(aim: tuple[float, ...]) -> bool:
        return any(other != aim and all(o <= a for o, a in zip(other, aim, strict=True)) for other in aims)

    return [result for result, aim in zip(results, aims, strict=True) if not beaten(aim)]


def _aims(result: BenchResult) -> tuple[float, float, float]:
    """(latency in µs, bytes, what is lost in accuracy): the less the better."""
    assert result.score is not None
    return percentile(result.latency_ns, 50) / 1e3, result.bundle["model_bytes"], -result.score.value


def sizes(figure: "Figure", results: Sequence[BenchResult], labels: list[str]) -> None:
    axes = figure.add_subplot()
    kilobytes = [result.bundle["model_bytes"] / 1e3 for result in results]
    bars = axes.barh(range(len(results)), kilobytes, color=[color(index) for index in range(len(results))])
    axes.bar_label(bars, [digits(value) for value in kilobytes], padding=4)
    axes.set_xlabel("kB")
    _as_rows(axes, labels, max(kilobytes))


def latencies(figure: "Figure", results: Sequence[BenchResult], labels: list[str]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes = figure.add_subplot()
    # The slowest runs tell of the system's other work, and would take most of the width: ten medians have to do.
    fractions = np.linspace(0, 99.5, _POINTS)
    low, high = np.inf, 0.0
    for index, result in enumerate(results):
        times = np.percentile(result.latency_ns, fractions) / 1e3
        low, high = min(low, times[0]), max(high, min(times[-1], 10 * times[_POINTS // 2]))
        axes.plot(times, fractions, color=color(index), label=labels[index], linewidth=1.8)
    axes.set_xscale("log")
    axes.set_xlim(low * 0.95, high * 1.05)
    # Few marks where the times are far apart, or they would run into each other.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("latency, µs (log scale)")
    axes.set_ylabel("runs, %")
    _legend_above(axes)


def over_time(figure: "Figure", results: Sequence[BenchResult], labels: list[str]) -> None:
    """Below: temperature and frequency, where the first device tells them."""
    told = [
        (name, unit, values)
        for key, name, unit, scale in (("temperature_c", "temperature", "°C", 1), ("freq_hz", "clock", "GHz", 1e-9))
        if len(values := _told(results[0], key, scale)) > 1
    ]
    rows = figure.subplots(1 + len(told), sharex=True, squeeze=False, height_ratios=[3, *[1] * len(told)])[:, 0]
    top = 0.0  # single runs that were interrupted lie far above
    for index, result in enumerate(results):
        seconds, times = _medians(result)
        top = max(top, 2.5 * median(times))
        rows[0].plot(seconds, times, ".", color=color(index), label=labels[index], markersize=3)
    rows[0].set_ylabel("latency, µs")
    rows[0].set_ylim(0, top * 1.03)
    for axes, (name, unit, values) in zip(rows[1:], told, strict=True):
        axes.plot(*zip(*values, strict=True), color=INK, linewidth=1.2)
        axes.set_ylabel(f"{name}\n{unit}")
        axes.margins(y=0.4)
    rows[-1].set_xlabel("seconds from the beginning")
    rows[-1].set_xlim(left=0)
    _legend_above(rows[0], size=5)


def _told(result: BenchResult, key: str, scale: float) -> list[tuple[float, float]]:
    """(seconds, value) at every look at the board that told it."""
    return [
        (state["at_ns"] / 1e9, state[key] * scale)
        for state in result.environment["during"]
        if state.get(key) is not None
    ]


def _medians(result: BenchResult) -> tuple[list[float], list[float]]:
    """Seconds, and the median latency in µs there, of runs that followed each other."""
    each = max(1, len(result.latency_ns) // _POINTS)
    seconds, times, start = [], [], 0
    for block in result.blocks:
        end = start + block["runs"]
        for first in range(start, end, each):
            last = min(first + each, end)
            seconds.append(result.at_ns[first] / 1e9)
            times.append(median(result.latency_ns[first:last]) / 1e3)
        start = end
    return seconds, times


def memory(figure: "Figure", results: Sequence[BenchResult], labels: list[str]) -> None:
    axes = figure.add_subplot()
    left = np.zeros(len(results))
    for index, (step, name) in enumerate(_STEPS.items()):
        reached = np.array([(result.memory_of(step) or 0) / 1e6 for result in results])
        grown = np.maximum(reached - left, 0)
        # The models' own colours would mislead here.
        axes.barh(range(len(results)), grown, left=left, color=color(index + 2), label=name)
        left = left + grown
    axes.set_xlabel("MB")
    _as_rows(axes, labels, float(left.max()))
    _legend_above(axes, columns=3)


def operator_bytes(figure: "Figure", results: Sequence[BenchResult], labels: list[str]) -> None:
    def kilobytes(result: BenchResult) -> Counter[str]:
        found: Counter[str] = Counter()
        for operator in result.operators:
            found[operator["operator"]] += operator["bytes"] / 1e3
        return found

    _stacked(figure.add_subplot(), [kilobytes(result) for result in results], labels, "kB")


def operator_time(figure: "Figure", results: Sequence[BenchResult], labels: list[str]) -> None:
    """A part of several operators counts for each kind alike."""

    def microseconds(result: BenchResult) -> Counter[str]:
        found: Counter[str] = Counter()
        for part in result.profile["parts"] if result.profile and result.operators else ():
            inside = result.operators[part["first"] : part["last"] + 1]
            for operator in inside:
                found[operator["operator"]] += part["ns"] / 1e3 / len(inside)
        return found

    _stacked(figure.add_subplot(), [microseconds(result) for result in results], labels, "µs")


def _stacked(axes: "Axes", counts: "list[Counter[str]]", labels: list[str], unit: str) -> None:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    kinds = [kind for kind, value in total.most_common(_KINDS) if value > 0]
    left = np.zeros(len(counts))
    rest: Callable[[Counter[str]], float] = lambda count: sum(count.values()) - sum(count[kind] for kind in kinds)  # noqa: E731
    for index, kind in enumerate([*kinds, "others"]):
        values = np.array([rest(count) if kind == "others" else count[kind] for count in counts])
        if values.max(initial=0) > 1e-9:
            axes.barh(
                range(len(counts)), values, left=left, color=color(index), label=kind.capitalize().replace("_", " ")
            )
            left = left + values
    axes.set_xlabel(unit)
    _as_rows(axes, labels, max(float(left.max()), 1e-9))
    _legend_above(axes)


def throughput(figure: "Figure", results: Sequence[BenchResult], labels: list[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes = figure.add_subplot()
    for index, result in enumerate(results):
        for kind, other, line in (("callers", "threads", "o-"), ("threads", "callers", "o--")):
            points = [(load[kind], load["per_second"]) for load in result.throughput if load[other] == 1]
            if points:
                name = labels[index] if kind == "callers" else None
                axes.plot(*zip(*points, strict=True), line, color=color(index), label=name, markersize=4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("callers or threads")
    axes.set_ylabel("calls per second")
    _legend_above(axes)


def _legend_above(axes: "Axes", columns: int = 2, size: float | None = None) -> None:
    # Of the figure, to have all of its width.
    figure = axes.get_figure(root=True)
    assert figure is not None
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper center", ncols=columns, markerscale=1 if size is None else size / 2
    )


def _as_rows(axes: "Axes", labels: list[str], largest: float) -> None:
    axes.set_yticks(range(len(labels)), [textwrap.fill(label, 20) for label in labels])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, largest * 1.2)
