"""How a long action tells how far it is."""

from collections.abc import Callable

Progress = Callable[[str, float], None]  # (what is being done, the fraction done from 0 to 1)


def silent(step: str, fraction: float) -> None:
    """The progress of nobody watching."""


def part(progress: Progress, start: float, end: float, prefix: str = "") -> Progress:
    """The progress of one part of an action, which takes it from ``start`` to ``end``."""

    def tell(step: str, fraction: float) -> None:
        progress(prefix + step, start + fraction * (end - start))

    return tell
