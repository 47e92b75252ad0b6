"""From bench results to tables, to Markdown, CSV and JSON, and to an HTML page: everything is computed from the
samples, nothing is typed in.

The first result is the baseline; every quantity of the first table is also given as a ratio to it.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgewright_runtime.disk import replacing
from edgewright_runtime.quantiles import single_stream
from edgewright_runtime.result import BenchResult

from .comparison import pairs
from .errors import InputError
from .quantities import QUANTITIES, label, labels, rows
from .sections import sections
from .steadiness import marks, warnings

SUFFIXES = (".html", ".md", ".csv", ".json")
TITLE = "edgewright bench"


def load(paths: Sequence[Path]) -> list[BenchResult]:
    """The results in files that ``save`` wrote as .json, or that ``bench --json`` printed. Raises InputError."""
    found = []
    for path in paths:
        try:
            document = json.loads(path.read_bytes())
        except OSError as error:
            raise InputError(f"Cannot read {path} ({error.strerror}): give a .json that bench wrote.") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is no JSON: give a .json that bench wrote.") from error
        results = document.get("results") if isinstance(document, dict) else None
        if not isinstance(results, list) or not results:
            raise InputError(f"{path} holds no bench results: give a .json that bench wrote.")
        try:
            found += [BenchResult.from_document(result) for result in results]
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    return found


def markdown(results: Sequence[BenchResult]) -> str:
    """All tables in Markdown; in the first, values and ratios in one cell."""
    overview = [
        [row.model, *(f"{cell.text} ({cell.ratio})" if cell.ratio else cell.text for cell in row.cells)]
        for row in rows(results)
    ]
    lines = markdown_table(["model", *(quantity.title for quantity in QUANTITIES)], overview)
    lines += [f"\n{warning}" for warning in warnings(results)]
    for section in sections(results):
        lines += [f"\n## {section.title}\n", *markdown_table(section.columns, section.lines)]
        if section.note:
            lines.append(f"\n{section.note}")
    return "\n".join(lines) + "\n"


def markdown_table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, the first column to the left."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(columns), "|---|" + "---:|" * (len(columns) - 1), *map(line, lines)]


def as_csv(results: Sequence[BenchResult]) -> str:
    """One line for each result; numbers as they are, with their units in the columns' names, empty where unknown."""
    out = io.StringIO()
    summaries = [_summary(result) for result in results]
    writer = csv.DictWriter(out, list(summaries[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(summaries)
    return out.getvalue()


def summary(results: Sequence[BenchResult]) -> dict[str, Any]:
    """What the report says, for a script: a line for each result, the comparisons, and the warnings."""
    names = {id(result): name for result, name in zip(results, labels(results), strict=True)}
    return {
        "results": [_summary(result) for result in results],
        "comparisons": [
            {
                "first": names[id(pair.first)],
                "second": names[id(pair.second)],
                "ratio": pair.ratio,
                "interval": pair.interval,
                "processes": pair.units,
                "verdict": pair.verdict,
            }
            for pair in pairs(results)
        ],
        "warnings": warnings(results),
    }


def _summary(result: BenchResult) -> dict[str, Any]:
    estimate = single_stream(result.call_ns) if result.settings["single_stream"] else None
    return {
        "model": label(result),
        "device": result.device,
        "board": result.environment["board"].get("model"),
        "engine": f"{result.engine['name']} {result.engine['version']}",
        "threads": result.engine["threads"],
        "runs": len(result.latency_ns),
        **{quantity.key: quantity.measure(result) for quantity in QUANTITIES},
        "single_stream_us": None if estimate is None else estimate / 1e3,
        "calls_per_second": max((load["per_second"] for load in result.throughput), default=None),
        "mj_per_call": result.energy["joules_per_run"] * 1e3 if result.energy else None,
        "marks": "; ".join(marks(result)),
        "started_at": result.started_at,
        "bundle": result.bundle["id"],
    }


def html(results: Sequence[BenchResult], *, title: str = TITLE) -> str:
    """One page that needs no network: tables, plots and the environment of the measurement."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from .figures import figures

    environment = Environment(
        loader=PackageLoader("edgewright"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    devices = list(dict.fromkeys(result.device for result in results if result.device))
    return environment.get_template("report.html.j2").render(
        title=title,
        devices=", ".join(devices),
        columns=[quantity.title for quantity in QUANTITIES],
        rows=rows(results),
        figures=figures(results),
        sections=sections(results),
        environments=_environments(results),
        warnings=warnings(results),
        runs=[
            (name, f"{len(result.latency_ns):,}", result.bundle["id"][:12])
            for name, result in zip(labels(results), results, strict=True)
        ],
        scored=next((f"{result.score.count:,}" for result in results if result.score), None),
    )


def save(path: Path, results: Sequence[BenchResult], *, title: str = TITLE) -> None:
    """Write a page (.html), the tables (.md), a line for each result (.csv), or all results with their raw samples
    (.json).

    Raises InputError for another suffix, StorageError; an older file stays as it was if it fails.
    """
    check_output(path)
    rows(results)
    if path.suffix == ".html":
        text = html(results, title=title)
    elif path.suffix == ".md":
        text = markdown(results)
    elif path.suffix == ".csv":
        text = as_csv(results)
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


def _environments(results: Sequence[BenchResult]) -> list[tuple[str, dict[str, str]]]:
    """Each different one, with its device."""
    found: list[tuple[str, dict[str, str]]] = []
    for result in results:
        entry = (result.device, _facts(result))
        if not any(known[0] == entry[0] and _same(known[1], entry[1]) for known in found):
            found.append(entry)
    return found


def _same(one: dict[str, str], other: dict[str, str]) -> bool:
    fixed = {"Board", "Processor", "Kernel", "Python", "Engine", "Governor"}
    return all(one.get(fact) == other.get(fact) for fact in fixed)


def _facts(result: BenchResult) -> dict[str, str]:
    """The environment in words; what the board did not tell is left out."""
    board, state = result.environment["board"], result.environment["before"]
    states = [state, *result.environment["during"], result.environment["after"]]
    memory, cpus = board.get("memory_bytes"), result.engine["cpus"]
    bound = f", bound to {', '.join(map(str, cpus))}" if cpus else ""
    facts = {
        "Board": board.get("model"),
        "Processor": board.get("cpu"),
        "Cores": board.get("cores"),
        "Memory": f"{memory / 1e9:.1f} GB" if memory else None,
        "Kernel": f"{board['kernel']} {board['machine']}",
        "Python": f"{board['python']}, {board.get('libc') or 'unknown libc'}",
        "Engine": f"{result.engine['name']} {result.engine['version']}, threads: {result.engine['threads']}{bound}",
        "Inputs": result.settings["inputs"],
        "Governor": state.get("governor"),
        "Frequency": _span([s["freq_hz"] / 1e9 for s in states if s.get("freq_hz")], "GHz", 2),
        "Temperature": _span([s["temperature_c"] for s in states if s.get("temperature_c") is not None], "°C", 0),
        "Load": _span([s["load_1min"] for s in states if s.get("load_1min") is not None], "", 1),
        "Measured": result.started_at,
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


def _span(values: list[float], unit: str, decimals: int) -> str | None:
    """From the lowest to the highest."""
    if not values:
        return None
    low, high = (f"{value:.{decimals}f}" for value in (min(values), max(values)))
    return f"{low if low == high else f'{low} to {high}'} {unit}".strip()
