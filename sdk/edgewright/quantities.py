"""What a result comes to, in numbers: the columns of the first table, with their ratios to the first result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgewright_runtime.quantiles import percentile
from edgewright_runtime.result import BenchResult

from .comparison import compare
from .errors import InputError

NOTHING = "–"


@dataclass(frozen=True)
class Quantity:
    """One column. key: its name in CSV and JSON, unit included; measure: its value for a result, None where it was not
    measured; show: that value as text; turns: whether the ratio of results that took turns is that of their comparison,
    which the machine's other work does not touch."""

    title: str
    key: str
    measure: Callable[[BenchResult], float | None]
    show: Callable[[float], str]
    turns: bool = False


QUANTITIES = (
    Quantity("bytes", "model_bytes", lambda result: result.bundle["model_bytes"], lambda value: f"{value:,.0f}"),
    Quantity(
        "accuracy",
        "accuracy",
        lambda result: result.score.value if result.score else None,
        lambda value: f"{value:.4f}",
    ),
    Quantity(
        "p50 µs",
        "p50_us",
        lambda result: percentile(result.latency_ns, 50) / 1e3,
        lambda value: digits(value),
        turns=True,
    ),
    Quantity("p90 µs", "p90_us", lambda result: percentile(result.latency_ns, 90) / 1e3, lambda value: digits(value)),
    Quantity("peak MB", "peak_mb", lambda result: megabytes(result.memory_of("peak")), lambda value: f"{value:.1f}"),
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
    """Raises InputError where there are no results."""
    if not results:
        raise InputError("There are no bench results to show: bench at least one bundle.")
    return [
        Row(name, tuple(_cell(quantity, result, results[0]) for quantity in QUANTITIES))
        for name, result in zip(labels(results), results, strict=True)
    ]


def label(result: BenchResult) -> str:
    """The bundle's name, with its mode unless the name says it."""
    name, mode = result.bundle["name"], result.bundle["mode"]
    return str(name if mode in name else f"{name} {mode}")


def labels(results: Sequence[BenchResult]) -> list[str]:
    """One for each result, with what tells it from the others: its device, engine, threads, and a number at last."""
    names = [label(result) for result in results]
    for more in (
        [f" on {result.device}" if result.device else "" for result in results],
        [f", {result.engine['name']}" for result in results],
        [f", threads: {result.engine['threads']}" for result in results],
    ):
        if len({*names}) < len(names) and len({*more}) > 1:
            names = [name + tail for name, tail in zip(names, more, strict=True)]
    if len({*names}) < len(names):
        names = [f"{name} ({names[: index + 1].count(name)})" for index, name in enumerate(names)]
    return names


def digits(value: float) -> str:
    """A positive number with at least three digits that count."""
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"


def megabytes(size_bytes: int | None) -> float | None:
    return size_bytes / 1e6 if size_bytes is not None else None


def _cell(quantity: Quantity, result: BenchResult, baseline: BenchResult) -> Cell:
    value, reference = quantity.measure(result), quantity.measure(baseline)
    if value is None:
        return Cell(NOTHING, "")
    if result is baseline or not reference:
        return Cell(quantity.show(value), "")
    ratio = value / reference
    if quantity.turns and result.session == baseline.session:
        ratio = compare(baseline, result).ratio
    return Cell(quantity.show(value), f"{ratio:.2f}×")
