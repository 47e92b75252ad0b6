"""A Ctrl-C that the kernel gives to another thread, so that the one that waits is not woken by it.

Python remembers the signal but cannot break the wait: the same as when it comes just before the thread falls asleep.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SOON_S = 0.5


@contextmanager
def interrupted_elsewhere() -> Iterator[None]:
    """What runs inside of this block gets KeyboardInterrupt after half a second, if it ever looks."""

    def interrupt() -> None:
        time.sleep(_SOON_S)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()  # takes signals as it was started; this one takes none from here on
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        thread.join()
