"""Which models fit a budget."""

from dataclasses import asdict, dataclass
from typing import Any

from edgewright_runtime.errors import InputError

from . import MODES, ZOO, Estimate, estimate

WIDTHS = tuple(range(4, 260, 4))  # vector instructions like multiples
HEARD = {"length": 49, "vocabulary": 10}  # frames and features of a second of sound, as `train` has them by default


@dataclass(frozen=True)
class Choice:
    """A model with a width and a depth, and what it will weigh."""

    name: str
    task: str
    summary: str
    width: int
    depth: int
    estimate: Estimate

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def choices(
    *,
    task: str | None = None,
    mode: str = "int8",
    max_bytes: int | None = None,
    vocabulary: int,
    length: int,
    classes: int,
) -> list[Choice]:
    """Without max_bytes each model as it comes; with it, for each depth the largest width whose flatbuffer fits.
    vocabulary, length: of texts; a model that hears is counted for HEARD.

    Raises InputError for an unknown mode.
    """
    if mode not in MODES:
        raise InputError(f"There is no mode {mode!r}: choose one of {', '.join(MODES)}.")
    found = []
    for name, entry in ZOO.items():
        if task is not None and entry.task != task:
            continue

        def choice(width: int, depth: int, name: str = name) -> Choice:
            sizes = HEARD if ZOO[name].task == "spot" else {"vocabulary": vocabulary, "length": length}
            own = estimate(name, **sizes, classes=classes, width=width, depth=depth)
            return Choice(name, ZOO[name].task, ZOO[name].summary, width, depth, own)

        if max_bytes is None:
            found.append(choice(entry.width, entry.depth))
            continue
        for depth in entry.depths:
            fits = [own for own in (choice(w, depth) for w in WIDTHS) if own.estimate.bytes[mode] <= max_bytes]
            # The first of the largest: beyond its classes a linear model does not grow.
            found += [max(fits, key=lambda own: own.estimate.bytes[mode])] if fits else []
    return found
