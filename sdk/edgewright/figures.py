"""The report's plots as SVG that takes its colours and its font from the page, light or dark."""

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from edgewright_runtime.result import BenchResult

from . import plots
from .quantities import labels
from .styles import FONT, STYLE, VARIABLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[["Figure", Sequence[BenchResult], list[str]], None]


class Plot(NamedTuple):
    """caption: what is seen, for the page and for who cannot see it; svg: an <svg> element, safe to insert."""

    caption: str
    svg: Any


def figures(results: Sequence[BenchResult]) -> list[Plot]:
    """The plots that these results allow."""
    names = labels(results)
    wanted: list[tuple[bool, str, Draw]] = [
        (
            all(result.score for result in results),
            "Accuracy against latency; the area of a disc is the model's size. Joined: what no other model on that "
            "device beats in all three",
            plots.trade,
        ),
        (True, "Model size", plots.sizes),
        (True, "Latency: how many of the runs took at most so long", plots.latencies),
        (True, "Latency over time, in medians of neighbouring runs, and what the board told", plots.over_time),
        (
            all(result.memory_bytes.get("peak") for result in results),
            "Memory of the process, step by step",
            plots.memory,
        ),
        (any(result.operators for result in results), "Where the bytes of the weights are", plots.operator_bytes),
        (
            any(result.operators and result.profile for result in results),
            "Where the time goes: an estimate by cutting the graph",
            plots.operator_time,
        ),
        (
            any(len(result.throughput) > 1 for result in results),
            "Throughput with so many callers (solid), or threads of one caller (dashed)",
            plots.throughput,
        ),
    ]
    return [
        Plot(caption, _draw(lambda figure, draw=draw: draw(figure, results, names), f"plot{index}-"))  # type: ignore[misc]
        for index, (possible, caption, draw) in enumerate(wanted)
        if possible
    ]


def _draw(draw: Callable[["Figure"], None], prefix: str) -> Any:
    import matplotlib as mpl
    from markupsafe import Markup
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5, 3.2), layout="constrained")
        figure.patch.set_alpha(0)
        draw(figure)
        for axes in figure.axes:
            axes.patch.set_alpha(0)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Several plots share one page: their ids must not meet.
    for before, after in (('id="', 'id="{}'), ("url(#", "url(#{}"), ('href="#', 'href="#{}')):
        svg = svg.replace(before, after.format(prefix))
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, variable)
    # Matplotlib has escaped the labels.
    return Markup(svg.replace(f"'{FONT}'", "system-ui, sans-serif"))
