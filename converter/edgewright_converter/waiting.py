"""Waiting for another process's words.

A Ctrl-C that comes just before this thread falls asleep wakes nobody: so it never sleeps long.
"""

import selectors
import time

_GLANCE_S = 0.2


def readable(descriptor: int, deadline: float) -> bool:
    """Whether there is something to read, or an end, before the deadline (of time.monotonic, seconds)."""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if selector.select(min(max(0.0, left), _GLANCE_S)):
                return True
            if left <= 0:
                return False
