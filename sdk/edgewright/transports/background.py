"""An asyncio event loop in a thread of its own, for callers that wait."""

import asyncio
from collections.abc import Callable, Coroutine
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")
Tell = Callable[[bytes], None]

_GLANCE_S = 0.2


def nobody(message: bytes) -> None:
    """The listener where nobody listens."""


class BackgroundLoop:
    """May be used by several threads at once."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="edgewright-ssh", daemon=True)
        self._thread.start()

    def wait(self, work: Callable[[Tell], Coroutine[Any, Any, T]], hear: Tell = nobody) -> T:
        """Run work(tell) to its end in the loop; what it tells, ``hear`` gets in the calling thread, as it comes.

        An exception in the calling thread, Ctrl-C above all, cancels the work and waits until that has cleaned up.
        """
        messages: SimpleQueue[bytes | None] = SimpleQueue()
        tasks: list[asyncio.Task[T]] = []

        def start() -> None:
            tasks.append(self._loop.create_task(work(messages.put)))
            tasks[0].add_done_callback(lambda task: messages.put(None))

        self._loop.call_soon_threadsafe(start)
        try:
            while (message := _next(messages)) is not None:
                hear(message)
        except BaseException:
            self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            while _next(messages) is not None:
                pass
            raise
        return tasks[0].result()

    def close(self) -> None:
        """End the loop and its thread; may be called twice. Work that another thread waits for is cancelled."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


def _next(messages: "SimpleQueue[bytes | None]") -> bytes | None:
    """The next message. A Ctrl-C that comes just before this thread falls asleep wakes nobody: it never sleeps long."""
    while True:
        try:
            return messages.get(timeout=_GLANCE_S)
        except Empty:
            continue


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
