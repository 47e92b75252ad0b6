"""How a long action tells how far it is."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

Progress = Callable[[str, float], None]  # (what is being done, the fraction done from 0 to 1)


def silent(step: str, fraction: float) -> None:
    """The progress of nobody watching."""


class Bar(Protocol):
    """What is drawn on a terminal again and again."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


_drawn: list[Bar] = []


@contextmanager
def drawing(bar: Bar) -> Iterator[None]:
    """While it is drawn, whoever asks the user something can hold it still."""
    _drawn.append(bar)
    try:
        yield
    finally:
        _drawn.remove(bar)


@contextmanager
def terminal_to_ourselves() -> Iterator[None]:
    """Nothing else is drawn meanwhile: for a question to the user."""
    held = list(_drawn)
    for bar in held:
        bar.stop()
    try:
        yield
    finally:
        for bar in held:
            bar.start()


def part(progress: Progress, start: float, end: float, prefix: str = "") -> Progress:
    """The progress of one part of an action, which takes it from ``start`` to ``end``."""

    def tell(step: str, fraction: float) -> None:
        progress(prefix + step, start + fraction * (end - start))

    return tell


def sending(progress: Progress, what: str) -> Callable[[int, int], None]:
    """What to call with the bytes that have arrived and the bytes in all: it tells those, the rate and the time left.

    What had arrived when it is first called counts for no rate: a transfer may go on where an earlier one broke off.
    """
    started: list[tuple[float, int]] = []

    def tell(arrived: int, size_bytes: int) -> None:
        now = time.monotonic()
        if not started:
            started.append((now, arrived))
        seconds, since = now - started[0][0], arrived - started[0][1]
        unit, name = (1e6, "MB") if size_bytes >= 1e6 else (1e3, "kB")
        text = f"{what}: {arrived / unit:.1f} of {size_bytes / unit:.1f} {name}"
        if seconds >= 1 and since > 0:
            left_s = round((size_bytes - arrived) * seconds / since)
            text += f", {since / seconds / 1e3:.1f} kB/s, {left_s // 60}:{left_s % 60:02} left"
        progress(text, arrived / size_bytes if size_bytes else 1.0)

    return tell
