"""Old results against new ones: has a model become slower, larger, or worse? For continuous integration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgewright_runtime.quantiles import percentile
from edgewright_runtime.result import BenchResult

from .comparison import Comparison, compare
from .errors import CheckError, InputError
from .quantities import label


@dataclass(frozen=True)
class Change:
    """One quantity of one model. old, new: its values; ratio: new / old; verdict: in words; fails: whether it exceeds
    the limit."""

    model: str
    quantity: str
    old: float
    new: float
    ratio: float
    verdict: str
    fails: bool


_SIZES: dict[str, Callable[[BenchResult], float | None]] = {
    "model bytes": lambda result: result.bundle["model_bytes"],
    "peak bytes": lambda result: result.memory_of("peak"),
}


def changes(
    old: Sequence[BenchResult],
    new: Sequence[BenchResult],
    *,
    fail_above: float | None = None,
    fail_accuracy_drop: float | None = None,
) -> list[Change]:
    """What has changed, model by model: those of the same name, mode, device, engine and threads.

    fail_above: the growth of latency and sizes that fails, 0.05 for 5 %; a latency fails where the growth is seen
    beyond doubt, or where there are too few processes to doubt it. fail_accuracy_drop: the loss that fails, 0.01 for
    one point. Raises InputError where no model is in both, where one is in either twice, and where a limit for the
    accuracy finds none.
    """
    before, after = _by_model(old), _by_model(new)
    common = [key for key in before if key in after]
    if not common:
        raise InputError(
            f"The old results ({_names(old)}) and the new ones ({_names(new)}) have no model in common: "
            "compare the same models, by the same engine and threads, on the same device."
        )
    found = []
    for key in common:
        found += _changes(before[key], after[key], fail_above, fail_accuracy_drop)
    scored = sum(change.quantity == "accuracy" for change in found)
    if fail_accuracy_drop is not None and scored < len(common):
        raise InputError("A limit for the accuracy needs a score of every model in both: bench with --data.")
    return found


def missing(old: Sequence[BenchResult], new: Sequence[BenchResult]) -> list[str]:
    """The models of the old results that nothing among the new ones can be compared with."""
    after = _by_model(new)
    return [label(result) for key, result in _by_model(old).items() if key not in after]


def require_no_failure(found: Sequence[Change]) -> None:
    """Raises CheckError."""
    failed = [f"{change.model}: {change.quantity} {_percent(change)}" for change in found if change.fails]
    if failed:
        raise CheckError(f"Worse than allowed: {'; '.join(failed)}. Find what changed, or raise the limit.")


def _changes(old: BenchResult, new: BenchResult, above: float | None, drop: float | None) -> list[Change]:
    name, latency = label(new), compare(old, new)
    a, b = (float(percentile(result.latency_ns, 50)) for result in (old, new))
    exceeds = above is not None and latency.ratio > 1 + above and (latency.interval is None or latency.differs)
    found = [Change(name, "p50 ns", a, b, latency.ratio, _latency(latency), exceeds)]
    for quantity, measure in _SIZES.items():
        x, y = measure(old), measure(new)
        if x and y:
            fails = above is not None and y / x > 1 + above
            found.append(Change(name, quantity, x, y, y / x, _larger(y - x), fails))
    if old.score and new.score and old.score.value:
        lost = old.score.value - new.score.value
        fails = drop is not None and lost > drop
        ratio = new.score.value / old.score.value
        found.append(Change(name, "accuracy", old.score.value, new.score.value, ratio, _better(-lost), fails))
    return found


def _latency(comparison: Comparison) -> str:
    if comparison.interval is None:
        return comparison.verdict
    return f"{comparison.verdict} ({comparison.interval.low:.3f} to {comparison.interval.high:.3f})"


def _larger(difference: float) -> str:
    return "equal" if not difference else "larger" if difference > 0 else "smaller"


def _better(difference: float) -> str:
    return "equal" if not difference else "better" if difference > 0 else "worse"


def _percent(change: Change) -> str:
    return f"{change.ratio - 1:+.1%}"


def _by_model(results: Sequence[BenchResult]) -> dict[tuple[object, ...], BenchResult]:
    found: dict[tuple[object, ...], BenchResult] = {}
    for result in results:
        key = (
            *(result.bundle[field] for field in ("name", "mode", "layout")),
            result.device,
            *(result.engine[field] for field in ("name", "threads")),
        )
        if key in found:
            raise InputError(f"{label(result)} is in these results twice: compare one measurement with one.")
        found[key] = result
    return found


def _names(results: Sequence[BenchResult]) -> str:
    return ", ".join(f"{label(result)} on {result.device or 'an unnamed device'}" for result in results) or "none"
