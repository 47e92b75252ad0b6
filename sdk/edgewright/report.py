"""From bench results to a table and to an HTML page: everything is computed from the samples, nothing is typed in.

The first result is the baseline; every quantity is also given as a ratio to it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright_runtime.disk import replacing
from edgewright_runtime.result import BenchResult, percentile

from .errors import InputError

SUFFIXES = (".html", ".md", ".json")
_NOTHING = "–"


@dataclass(frozen=True)
class Quantity:
    """One column. measure: its value for a result, None where it was not measured; show: that value as text."""

    title: str
    measure: Callable[[BenchResult], float | None]
    show: Callable[[float], str]


QUANTITIES = (
    Quantity("bytes", lambda result: result.bundle["model_bytes"], lambda value: f"{value:,.0f}"),
    Quantity("accuracy", lambda result: result.score.value if result.score else None, lambda value: f"{value:.4f}"),
    Quantity("p50 µs", lambda result: percentile(result.latency_ns, 50) / 1e3, lambda value: three_digits(value)),
    Quantity("p90 µs", lambda result: percentile(result.latency_ns, 90) / 1e3, lambda value: three_digits(value)),
    Quantity("peak MB", lambda result: _megabytes(result.memory_bytes.get("peak")), lambda value: f"{value:.1f}"),
)


@dataclass(frozen=True)
class Cell:
    """text: the value; ratio: its ratio to the baseline, "" in the baseline's own row or where nothing was measured."""

    text: str
    ratio: str


@dataclass(frozen=True)
class Row:
    """One model. cells: in the order of QUANTITIES."""

    model: str
    cells: tuple[Cell, ...]


def rows(results: Sequence[BenchResult]) -> list[Row]:
    """The table that the terminal, Markdown and the HTML page show. Raises InputError where there are no results."""
    if not results:
        raise InputError("There are no bench results to show: bench at least one bundle.")
    return [
        Row(label(result), tuple(_cell(quantity, result, results[0]) for quantity in QUANTITIES)) for result in results
    ]


def label(result: BenchResult) -> str:
    """The bundle's name, with its mode unless the name says it."""
    name, mode = result.bundle["name"], result.bundle["mode"]
    return str(name if mode in name else f"{name} {mode}")


def markdown(results: Sequence[BenchResult]) -> str:
    """The table in Markdown, values and ratios in one cell."""
    lines = ["| model | " + " | ".join(quantity.title for quantity in QUANTITIES) + " |"]
    lines.append("|---|" + "---:|" * len(QUANTITIES))
    for row in rows(results):
        cells = [f"{cell.text} ({cell.ratio})" if cell.ratio else cell.text for cell in row.cells]
        lines.append("| " + " | ".join([row.model.replace("|", "\\|"), *cells]) + " |")
    lines += [f"\n{warning}" for warning in warnings(results)]
    return "\n".join(lines) + "\n"


def html(results: Sequence[BenchResult], *, device: str = "", title: str = "edgewright bench") -> str:
    """One page that needs no network: table, plots and the environment of the measurement."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from .figures import figures

    environment = Environment(
        loader=PackageLoader("edgewright"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        title=title,
        device=device,
        columns=[quantity.title for quantity in QUANTITIES],
        rows=rows(results),
        figures=figures(results),
        facts=_facts(results[0]),
        warnings=warnings(results),
        runs=[(label(result), f"{len(result.latency_ns):,}", result.bundle["id"][:12]) for result in results],
        scored=next((f"{result.score.count:,}" for result in results if result.score), None),
    )


def save(path: Path, results: Sequence[BenchResult], *, device: str = "", title: str = "edgewright bench") -> None:
    """Write a page (.html), the table (.md), or all results with their raw samples (.json).

    Raises InputError for another suffix, StorageError; an older file stays as it was if it fails.
    """
    check_output(path)
    if path.suffix == ".html":
        text = html(results, device=device, title=title)
    elif path.suffix == ".md":
        text = markdown(results)
    else:
        documents = [result.to_document() for result in results]
        text = json.dumps({"schema": 1, "kind": "bench-list", "results": documents}) + "\n"
    with replacing(path) as out:
        out.write(text.encode("utf-8"))


def check_output(path: Path) -> None:
    """Whether ``save`` could write there: to be asked before a long measurement. Raises InputError."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"A report is written as {', '.join(SUFFIXES)}, not as {path.name}: choose one of them.")
    if not path.absolute().parent.is_dir():
        raise InputError(f"There is no folder {path.parent} to write {path.name} to: make it first.")


def _cell(quantity: Quantity, result: BenchResult, baseline: BenchResult) -> Cell:
    value, reference = quantity.measure(result), quantity.measure(baseline)
    if value is None:
        return Cell(_NOTHING, "")
    if result is baseline or not reference:
        return Cell(quantity.show(value), "")
    return Cell(quantity.show(value), f"{value / reference:.2f}×")


def _facts(result: BenchResult) -> dict[str, str]:
    """The environment in words; what the board did not tell is left out."""
    board, state = result.environment["board"], result.environment["before"]
    memory = board.get("memory_bytes")
    facts = {
        "Board": board.get("model"),
        "Processor": board.get("cpu"),
        "Cores": board.get("cores"),
        "Memory": f"{memory / 1e9:.1f} GB" if memory else None,
        "Kernel": f"{board['kernel']} {board['machine']}",
        "Python": f"{board['python']}, {board.get('libc') or 'unknown libc'}",
        "Engine": f"{result.engine['name']} {result.engine['version']}, threads: {result.engine['threads']}",
        "Governor": state.get("governor"),
        "Temperature": f"{state['temperature_c']:.0f} °C" if state.get("temperature_c") is not None else None,
        "Load before": state.get("load_1min"),
        "Measured": result.started_at,
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


def warnings(results: Sequence[BenchResult]) -> list[str]:
    """What makes a measurement doubtful."""
    emulated = {result.environment["board"].get("emulated") for result in results} - {None}
    found = [f"The board is emulated ({marker})." for marker in sorted(emulated)]
    for result in results:
        cores = result.environment["board"].get("cores") or 1
        for moment in ("before", "after"):
            state: dict[str, Any] = result.environment[moment]
            if state.get("throttled"):
                found.append(f"{label(result)}: the board reports {', '.join(state['throttled'])} {moment} the bench.")
        load = result.environment["before"].get("load_1min")
        if load is not None and load > cores:
            found.append(f"{label(result)}: the device was busy with other work (load {load:g} on {cores} cores).")
    return found


def three_digits(value: float) -> str:
    """A positive number with at least three digits that count."""
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"


def _megabytes(size_bytes: int | None) -> float | None:
    return size_bytes / 1e6 if size_bytes is not None else None
