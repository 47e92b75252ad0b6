"""What was measured where, kept for the doctor: from it comes an estimate of a latency before anything is sent.

history.jsonl in the user's data folder ($EDGEWRIGHT_DATA_HOME), one line for each bench of a bundle: what the model
computes, on which processor, and its median.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edgewright_converter.doctor.work import multiplications
from edgewright_converter.flatbuffer import Flatbuffer, read
from edgewright_converter.targets import Target
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.disk import replacing
from edgewright_runtime.facts import board_facts
from edgewright_runtime.quantiles import percentile
from edgewright_runtime.result import BenchResult

from .errors import EdgewrightError
from .folders import make_folder, user_folder

_KEPT = 1000
_NEAREST = 3


@dataclass(frozen=True)
class Entry:
    """One bench. device: its name; model: the board's own; work: multiplications by the type of the data."""

    device: str
    model: str | None
    cpu: str | None
    engine: str
    threads: int
    bundle_id: str
    work: dict[str, int]
    operations: int
    p50_ns: int


@dataclass(frozen=True)
class Estimate:
    """low_ms, high_ms: of the median; results: how many it comes from; measured: of this very bundle."""

    low_ms: float
    high_ms: float
    results: int
    measured: bool


def remember(bundles: Sequence[str | Path], results: Sequence[BenchResult], device: str) -> None:
    """Keep what a bench found. What cannot be kept is let go: no measurement fails for it."""
    try:
        new = [_entry(Bundle.open(b), result, device) for b, result in zip(bundles, results, strict=True)]
        path = _path()
        make_folder(path.parent)
        with replacing(path) as out:
            lines = [json.dumps(asdict(entry)) for entry in [*_entries(), *new][-_KEPT:]]
            out.write(("\n".join(lines) + "\n").encode())
    except (EdgewrightError, OSError, KeyError, TypeError):
        return


def estimate(flatbuffer: Flatbuffer, bundle_id: str | None, target: Target) -> Estimate | None:
    """The median of one thread to expect on a target, from the results of the models nearest to this one there."""
    there = [entry for entry in _entries() if entry.threads == 1 and entry.engine == target.engine]
    there = [entry for entry in there if _is_there(entry, target)]
    same = [entry.p50_ns / 1e6 for entry in there if entry.bundle_id == bundle_id]
    if same:
        return Estimate(min(same), max(same), len(same), measured=True)
    work, operations = multiplications(flatbuffer), sum(len(graph.nodes) for graph in flatbuffer.subgraphs)
    total = sum(work.values())
    alike = [entry for entry in there if _kind(entry.work) == _kind(work) and sum(entry.work.values()) > 0]
    if not alike or total == 0:
        return None
    alike.sort(key=lambda entry: abs(_ratio(total, sum(entry.work.values())) - 1))
    guesses = []
    for entry in alike[:_NEAREST]:
        # Between a time that goes with the multiplications and one that goes with the number of operations.
        by_work, by_count = total / sum(entry.work.values()), operations / max(1, entry.operations)
        guesses += [entry.p50_ns / 1e6 * by_work, entry.p50_ns / 1e6 * by_count]
    return Estimate(min(guesses), max(guesses), len(alike[:_NEAREST]), measured=False)


def _entry(bundle: Bundle, result: BenchResult, device: str) -> Entry:
    flatbuffer = read(bundle.read(bundle.manifest.variant().path))
    board = result.environment["board"]
    return Entry(
        device=device,
        model=board.get("model"),
        cpu=board.get("cpu"),
        engine=result.engine["name"],
        threads=result.engine["threads"],
        bundle_id=bundle.id,
        work=multiplications(flatbuffer),
        operations=sum(len(graph.nodes) for graph in flatbuffer.subgraphs),
        p50_ns=percentile(result.latency_ns, 50),
    )


def _entries() -> list[Entry]:
    try:
        lines = _path().read_text("utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            found.append(Entry(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def _is_there(entry: Entry, target: Target) -> bool:
    """Measured on this device, on a board of this kind, or, for "local", on this machine's processor."""
    if entry.device == target.name:
        return True
    if target.model is not None:
        return entry.model is not None and entry.model.startswith(target.model)
    return target.name.startswith("local") and entry.cpu is not None and entry.cpu == board_facts()["cpu"]


def _kind(work: dict[str, int]) -> str | None:
    """The type that most is computed in."""
    return max(work, key=lambda dtype: work[dtype]) if work else None


def _ratio(first: int, second: int) -> float:
    return max(first, second) / max(1, min(first, second))


def _path() -> Path:
    return user_folder("EDGEWRIGHT_DATA_HOME", "user_data_dir") / "history.jsonl"
