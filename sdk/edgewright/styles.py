"""How the report's plots look."""

from typing import Any

# Matplotlib wants colours, the page wants variables: these stand in for each other.
INK, FAINT = "#0a0b0c", "#0d0e0f"
_SERIES = [f"#0{index}f0{index}e" for index in range(8)]
VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)", **{c: f"var(--series-{i})" for i, c in enumerate(_SERIES)}}
FONT = "DejaVu Sans"
STYLE: dict[str, Any] = {
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "font.family": [FONT],
    "font.size": 9,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "edgewright",  # same results, same bytes
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
MARKERS = "os^Dv<>P"


def color(index: int) -> str:
    return _SERIES[index % len(_SERIES)]
