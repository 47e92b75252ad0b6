"""The plots of the report as SVG that takes its colours and its font from the page, light or dark."""

import io
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgewright_runtime.result import BenchResult, percentile

from .report import label, three_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Matplotlib wants colours, the page wants variables: these stand in for each other.
_INK, _FAINT = "#0a0b0c", "#0d0e0f"
_SERIES = [f"#0{index}f0{index}e" for index in range(8)]
_VARIABLES = {_INK: "var(--ink)", _FAINT: "var(--line)", **{c: f"var(--series-{i})" for i, c in enumerate(_SERIES)}}
_FONT = "DejaVu Sans"
_STYLE: dict[str, Any] = {
    "axes.edgecolor": _FAINT,
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "font.family": [_FONT],
    "font.size": 9,
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "edgewright",  # same results, same bytes
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


class Plot(NamedTuple):
    """caption: what is seen, for the page and for who cannot see it; svg: an <svg> element, safe to insert."""

    caption: str
    svg: Any


def figures(results: Sequence[BenchResult]) -> list[Plot]:
    """The plots that these results allow."""
    labels = [label(result) for result in results]
    plots: list[tuple[str, Callable[[Axes, Sequence[BenchResult], list[str]], None]]] = []
    if all(result.score for result in results):
        plots.append(("Accuracy against latency; the area of a disc is the model's size", _trade))
    plots.append(("Model size", _sizes))
    plots.append(("Latency: how many of the runs took at most so long", _latencies))
    if all(result.memory_bytes.get("peak") for result in results):
        plots.append(("Memory of the process, from before the engine to the peak", _memory))
    return [
        Plot(caption, _draw(lambda axes, draw=draw: draw(axes, results, labels), f"plot{index}-"))  # type: ignore[misc]
        for index, (caption, draw) in enumerate(plots)
    ]


def _trade(axes: "Axes", results: Sequence[BenchResult], labels: list[str]) -> None:
    largest = max(result.bundle["model_bytes"] for result in results)
    latencies, accuracies = [], []
    for index, result in enumerate(results):
        assert result.score is not None
        latencies.append(percentile(result.latency_ns, 50) / 1e3)
        accuracies.append(result.score.value)
        area = max(1500 * result.bundle["model_bytes"] / largest, 12)
        axes.scatter(latencies[-1], accuracies[-1], area, color=_color(index), alpha=0.75, linewidths=0)
        # The legend's mark is as large for a small model as for a large one.
        axes.plot([], [], "o", color=_color(index), label=labels[index])
    spread = max(max(accuracies) - min(accuracies), 0.02)
    axes.set_ylim(min(accuracies) - spread, max(accuracies) + spread)
    axes.set_xlim(0, max(latencies) * 1.25)
    axes.set_xlabel("p50 latency, µs")
    axes.set_ylabel("accuracy")
    _legend_above(axes)


def _sizes(axes: "Axes", results: Sequence[BenchResult], labels: list[str]) -> None:
    kilobytes = [result.bundle["model_bytes"] / 1e3 for result in results]
    bars = axes.barh(range(len(results)), kilobytes, color=[_color(index) for index in range(len(results))])
    axes.bar_label(bars, [three_digits(value) for value in kilobytes], padding=4)
    axes.set_xlabel("kB")
    _as_rows(axes, labels, max(kilobytes))


def _latencies(axes: "Axes", results: Sequence[BenchResult], labels: list[str]) -> None:
    for index, result in enumerate(results):
        # 200 points draw the curve as well as 20,000 samples, in a hundredth of the bytes. The slowest of a thousand
        # runs tell of the system's other work, and would take most of the width.
        fractions = np.linspace(0, 99.5, 200)
        latencies = np.percentile(result.latency_ns, fractions) / 1e3
        axes.plot(latencies, fractions, color=_color(index), label=labels[index], linewidth=1.8)
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("latency, µs (log scale)")
    axes.set_ylabel("runs, %")
    _legend_above(axes)


def _memory(axes: "Axes", results: Sequence[BenchResult], labels: list[str]) -> None:
    stages = {"before": "Python", "loaded": "engine and model", "first_invoke": "first run", "peak": "until the peak"}
    left = np.zeros(len(results))
    for index, (stage, name) in enumerate(stages.items()):
        # The models' own colours would mislead here.
        reached = np.array([(result.memory_bytes.get(stage) or 0) / 1e6 for result in results])
        grown = np.maximum(reached - left, 0)
        axes.barh(range(len(results)), grown, left=left, color=_color(index + 4), label=name)
        left = left + grown
    axes.set_xlabel("MB")
    _as_rows(axes, labels, float(left.max()))
    _legend_above(axes)


def _legend_above(axes: "Axes") -> None:
    # Of the figure, to have all of its width.
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.legend(loc="outside upper center", ncols=2)


def _as_rows(axes: "Axes", labels: list[str], largest: float) -> None:
    axes.set_yticks(range(len(labels)), [textwrap.fill(label, 20) for label in labels])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, largest * 1.2)


def _color(index: int) -> str:
    return _SERIES[index % len(_SERIES)]


def _draw(draw: Callable[["Axes"], None], prefix: str) -> Any:
    import matplotlib as mpl
    from markupsafe import Markup
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5, 3.2), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Several plots share one page: their ids must not meet.
    for before, after in (('id="', 'id="{}'), ("url(#", "url(#{}"), ('href="#', 'href="#{}')):
        svg = svg.replace(before, after.format(prefix))
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    # Matplotlib has escaped the labels.
    return Markup(svg.replace(f"'{_FONT}'", "system-ui, sans-serif"))
