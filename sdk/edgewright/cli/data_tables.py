"""The report on data for the terminal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from .tables import _table

if TYPE_CHECKING:
    from edgewright_converter.language.data import DataReport

_CLASSES = 50  # shown; --json has all


def data_report(report: "DataReport") -> Iterator[RenderableType]:
    """Part by part."""
    names = [part.name for part in report.parts]
    yield Text(report.source, "bold")
    table = _table([""], names)
    table.add_row("texts", *(f"{part.texts:,}" for part in report.parts))
    for unit in report.parts[0].lengths:
        rows = [part.lengths[unit] for part in report.parts]
        table.add_row(f"{unit} (p5 · p50 · p95 · p99 · max)", *(" · ".join(f"{n:,}" for n in row) for row in rows))
    table.add_row("distinct words", *(f"{part.distinct_words:,}" for part in report.parts))
    table.add_row("of them seen once", *(f"{part.words_seen_once:,}" for part in report.parts))
    for title, attribute in (
        (f"words that {names[0]} has not", "unseen_words"),
        ("unknown tokens", "unknown_tokens"),
        ("cut by max_length", "cut"),
    ):
        shares = [getattr(part, attribute) for part in report.parts]
        if any(share is not None for share in shares):
            table.add_row(title, *("" if share is None else f"{share:.2%}" for share in shares))
    yield table
    for head, evenness in report.evenness.items():
        classes = [entry for entry in report.classes if entry.head == head]
        yield Text(f"\n{head}: {len(classes)} classes, evenness {evenness:.3f}", "bold")
        table = _table(["class"], names)
        for entry in classes[:_CLASSES]:
            table.add_row(Text(entry.name), *(f"{entry.texts[name]:,}" for name in names))
        yield table
        if len(classes) > _CLASSES:
            yield Text(f"… and {len(classes) - _CLASSES} more: --json shows all", "dim")
    yield Text("\nduplicates", "bold")
    table = _table([""], ["to the letter", "nearly"])
    table.add_row("within all of it", f"{report.exact:,}", f"{report.near:,}")
    for pair, same in report.shared_exact.items():
        earlier, later = pair.rsplit("/", 1)
        table.add_row(Text(f"of {later}, in {earlier} too"), f"{same:,}", f"{report.shared_near[pair]:,}")
    yield table
    if report.groups is not None:
        yield Text(f"{report.groups:,} groups of texts that belong together")
    for sentence in (*report.notes, *report.findings):
        yield Text(f"· {sentence}")
