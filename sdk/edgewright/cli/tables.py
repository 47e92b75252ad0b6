"""Tables for the terminal."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgewright.quantities import QUANTITIES, rows
from edgewright_runtime.result import BenchResult

if TYPE_CHECKING:
    from edgewright.gate import Change
    from edgewright.inspect import Inspection
    from edgewright.sections import Section
    from edgewright_converter.flatbuffer import Flatbuffer, Tensor
    from edgewright_converter.outcome import Outcome
    from edgewright_converter.targets import Target


def bench_table(results: Sequence[BenchResult]) -> Table:
    """The rows of the report: each quantity with its ratio to the first result beside it."""
    table = _table(["model"], [quantity.title for quantity in QUANTITIES])
    for row in rows(results):
        ratios = [f" {cell.ratio:>6}" if len(results) > 1 else "" for cell in row.cells]
        cells = [Text(cell.text).append(ratio, "dim") for cell, ratio in zip(row.cells, ratios, strict=True)]
        table.add_row(Text(row.model), *cells)
    return table


def section_table(section: "Section") -> Table:
    """One of the tables behind the first."""
    table = _table(section.columns[:1], section.columns[1:])
    for line in section.lines:
        table.add_row(*map(Text, line))
    return table


def changes_table(changes: "Sequence[Change]") -> Table:
    """What ``compare`` shows."""
    table = _table(["model", "quantity"], ["old", "new", "ratio"])
    table.add_column("")
    for change in changes:
        old, new = (
            f"{value:.4f}" if change.quantity == "accuracy" else f"{value:,.0f}" for value in (change.old, change.new)
        )
        verdict = Text(change.verdict).append("  worse than allowed" if change.fails else "", "bold red")
        table.add_row(Text(change.model), change.quantity, old, new, f"{change.ratio:.3f}×", verdict)
    return table


def inspection(report: "Inspection", tensors: bool) -> Iterator[RenderableType]:
    """What ``inspect`` shows, part by part."""
    if report.bundle is not None:
        yield _bundle(report)
        yield from _outcomes(report)
    for name, flatbuffer in report.flatbuffers.items():
        yield Text(f"\n{name}", "bold")
        yield _ends(flatbuffer)
        table = _table(["operator"], ["version", "count", "needs runtime"])
        for operator in flatbuffer.operators:
            table.add_row(
                Text(operator.name), str(operator.version), str(operator.count), operator.min_runtime or "unknown"
            )
        yield table
        table = _table(["bytes for"], ["bytes", "share"])
        for purpose, size_bytes in flatbuffer.breakdown.items():
            table.add_row(Text(purpose), f"{size_bytes:,}", f"{size_bytes / flatbuffer.size_bytes:.1%}")
        table.add_row(Text("total"), f"{flatbuffer.size_bytes:,}", "100.0%", style="bold")
        yield table
        if tensors:
            table = _table(["tensor", "type"], ["bytes", "scales"])
            for tensor in flatbuffer.tensors:
                table.add_row(Text(tensor.name), Text(_type(tensor)), f"{tensor.size_bytes:,}", str(len(tensor.scales)))
            yield table


def edgetpu_table(name: str, placed: Sequence[dict[str, Any]]) -> Table:
    """Where each operation of a flatbuffer would run."""
    table = _table([f"{name} on an Edge TPU", "layer", "runs on", "why"], [])
    for entry in placed:
        where, style = ("TPU", "") if entry["on_tpu"] else ("CPU", "yellow")
        table.add_row(Text(entry["operator"]), Text(entry["layer"]), where, Text(entry["reason"]), style=style)
    return table


def targets_table(targets: "Iterable[Target]") -> Table:
    """What each target stands for."""
    table = _table(["target", "board", "system", "machine", "engine"], ["Python", "glibc", "MB"])
    for target in targets:
        words = (target.name, target.board or "any", target.system or "any", target.machine, target.engine)
        facts = (target.python, target.glibc, target.memory_mb)
        table.add_row(*map(Text, words), *("" if fact is None else str(fact) for fact in facts))
    return table


def outcome_parts(outcome: "Outcome") -> Iterator[RenderableType]:
    """What one pass did: bytes, accuracy, its table of layers, where the error comes from, what was left alone."""
    weights = (outcome.weight_bytes_before, outcome.weight_bytes_after)
    yield Text(f"  {outcome.use}: weights {' → '.join(f'{size:,}' for size in dict.fromkeys(weights))} bytes")
    if outcome.options.get("form"):
        yield Text(f"  {outcome.options['form']}")
    if outcome.accuracy_before is not None and outcome.accuracy_after is not None:
        yield Text(f"  accuracy {outcome.accuracy_before:.4f} → {outcome.accuracy_after:.4f}")
    if outcome.loss_before is not None and outcome.loss_after is not None:
        yield Text(f"  cross-entropy {outcome.loss_before:.4f} → {outcome.loss_after:.4f}")
    for noun, was, now in (
        ("parameters", outcome.parameters_before, outcome.parameters_after),
        ("multiply-adds", outcome.macs_before, outcome.macs_after),
        ("µs on this machine, in float32", outcome.latency_us_before, outcome.latency_us_after),
    ):
        if was is not None and now is not None and was != now:
            yield Text(f"  {noun} {was:,.0f} → {now:,.0f}")
    if outcome.rolled_back:
        yield Text(f"  taken back: {outcome.rolled_back}")
    if any(row.after is not None for row in outcome.layers):
        table = _table(["  what", "kind"], ["before", "after"])
        for row in outcome.layers:
            table.add_row(Text(f"  {row.name}"), Text(row.kind), f"{row.before:,}", f"{row.after:,}")
        yield table
    elif outcome.layers:
        table = _table(["  layer", "kind"], ["weights", "activations", "range", "SQNR dB", "alone dB"])
        for row in outcome.layers:
            ends = None if row.low is None or row.high is None else f"{row.low:.4g} … {row.high:.4g}"
            bits = [f"int{b}" if b else None for b in (row.weight_bits, row.activation_bits)]
            decibels = [None if db is None else f"{db:.1f}" for db in (row.sqnr_db, row.alone_db)]
            table.add_row(Text(f"  {row.name}"), Text(row.kind), *(cell or "" for cell in (*bits, ends, *decibels)))
        yield table
    for sentence in outcome.hints:
        yield Text(f"  {sentence}")
    alike: dict[str, list[str]] = {}
    for skipped in outcome.skipped:
        alike.setdefault(skipped.reason, []).append(skipped.what)
    for reason, (what, *more) in alike.items():
        yield Text(f"  left alone, {reason}:" if more else f"  {what} left alone: {reason}")
        yield from (Text(f"    {entry}") for entry in (what, *more) if more)


def _outcomes(report: "Inspection") -> Iterator[RenderableType]:
    """Of the passes that made a bundle."""
    from edgewright_converter.outcome import Outcome

    assert report.bundle is not None
    for document in report.bundle.manifest.provenance.get("outcomes", ()):
        try:
            parts = list(outcome_parts(Outcome.from_dict(document)))
        except (AttributeError, KeyError, TypeError, ValueError):
            parts = [Text("  the outcome of a pass, in a form that this version does not know", "dim")]
        yield from parts


def _bundle(report: "Inspection") -> RenderableType:
    assert report.bundle is not None
    manifest = report.bundle.manifest
    budget = manifest.budget
    limits = [
        *([f"{budget.latency_ms:g} ms"] if budget.latency_ms else []),
        *([f"{budget.memory_mb:g} MB"] if budget.memory_mb else []),
    ]
    facts = {
        "bundle": manifest.name,
        "id": report.bundle.id,
        "size": f"{report.size_bytes:,} bytes, every one verified",
        "target": manifest.provenance.get("target"),
        "budget": ", ".join(limits),
        "labels": str(len(report.bundle.labels() or ())) if manifest.labels else None,
        "text": tokenizer.describe() if (tokenizer := report.bundle.tokenizer()) else None,
    }
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        if value:
            table.add_row(Text(name, "dim"), Text(str(value)))
    files = _table(["file"], ["bytes"])
    for entry in manifest.files:
        files.add_row(Text(entry.path), f"{entry.size_bytes:,}")
    grid = Table.grid()
    grid.add_row(table)
    grid.add_row(files)
    return grid


def _ends(flatbuffer: "Flatbuffer") -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for title, ends in (("input", flatbuffer.inputs), ("output", flatbuffer.outputs)):
        for name, tensor in ends:
            table.add_row(Text(title, "dim"), Text(f"{name} {_type(tensor)}"))
    table.add_row(Text("signature", "dim"), Text(flatbuffer.signature or "none"))
    table.add_row(
        Text("runtime", "dim"), Text(flatbuffer.min_runtime or "unknown: it has an operator that no table lists")
    )
    if flatbuffer.metadata:
        table.add_row(Text("metadata", "dim"), Text(", ".join(flatbuffer.metadata)))
    return table


def _type(tensor: "Tensor") -> str:
    return f"{tensor.dtype}{list(tensor.shape)}"


def _table(left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in left:
        table.add_column(title, overflow="fold")
    for title in right:
        table.add_column(title, justify="right", no_wrap=True)
    return table
