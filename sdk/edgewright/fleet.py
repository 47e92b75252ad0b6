"""The same on several devices, side by side: none waits for another, and one that fails stops no other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import Generic, TypeVar

from .devices import Device
from .errors import EdgewrightError, TransportError
from .remote import Remote, connect

T = TypeVar("T")

_END_TIMEOUT_S = 10.0
# A Ctrl-C that comes just before this thread falls asleep wakes nobody: it is seen at the next glance.
_GLANCE_S = 0.2


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What came of it on one device: a result, or else an error."""

    device: str
    result: T | None = None
    error: EdgewrightError | None = None


def side_by_side(devices: Sequence[str | Device], work: Callable[[Remote], T]) -> list[Outcome[T]]:
    """Do ``work`` on each device, in a thread each; the outcomes in the devices' order.

    Ctrl-C closes every connection, which ends what runs on the devices; one that has not answered yet is left alone.
    """
    lanes = [_Lane(device, work) for device in devices]
    try:
        for lane in lanes:
            lane.start()
        for lane in lanes:
            while not lane.done.wait(_GLANCE_S):
                pass
    except BaseException:
        for lane in lanes:
            lane.end()
        raise
    return [lane.outcome() for lane in lanes]


class _Lane(Thread, Generic[T]):
    """One device's thread. A daemon: where a device does not answer, Ctrl-C does not wait for it.

    done: to be waited for instead of joining, which after an interruption takes a thread for ended (bpo-45274).
    """

    def __init__(self, device: str | Device, work: Callable[[Remote], T]) -> None:
        name = device if isinstance(device, str) else device.name
        super().__init__(name=name, daemon=True)
        self.done = Event()
        self._device, self._work = device, work
        self._remote: Remote | None = None
        self._ended = False
        self._result: T | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            with connect(self._device) as self._remote:
                if self._ended:
                    raise TransportError(f"{self.name} is as it was: interrupted.")
                self._result = self._work(self._remote)
        except BaseException as error:
            self._error = error
        finally:
            self.done.set()

    def end(self) -> None:
        """Break off what it does on the device."""
        self._ended = True
        if self._remote is not None:
            self._remote.close()
            self.done.wait(_END_TIMEOUT_S)

    def outcome(self) -> Outcome[T]:
        """Raises what is not a device's failure."""
        if self._error is not None and not isinstance(self._error, EdgewrightError):
            raise self._error
        return Outcome(self.name, self._result, self._error)
