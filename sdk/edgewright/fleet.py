"""The same on several devices, side by side: none waits for another, and one that fails stops no other."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from .devices import Device
from .errors import EdgewrightError, TransportError
from .remote import Remote, connect

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What came of it on one device: a result, or else an error."""

    device: str
    result: T | None = None
    error: EdgewrightError | None = None


def side_by_side(devices: Sequence[str | Device], work: Callable[[Remote], T]) -> list[Outcome[T]]:
    """Do ``work`` on each device, in a thread each; the outcomes in the devices' order.

    Ctrl-C closes every connection, which ends what runs on the devices.
    """
    opened: list[Remote] = []
    interrupted = False

    def attempt(device: str | Device) -> Outcome[T]:
        name = device if isinstance(device, str) else device.name
        try:
            with connect(device) as remote:
                opened.append(remote)
                if interrupted:
                    raise TransportError(f"{name} was not changed: interrupted.")
                return Outcome(name, result=work(remote))
        except EdgewrightError as error:
            return Outcome(name, error=error)

    with ThreadPoolExecutor(len(devices)) as pool:
        futures = [pool.submit(attempt, device) for device in devices]
        try:
            return [future.result() for future in futures]
        except BaseException:
            interrupted = True
            for remote in list(opened):
                remote.close()
            raise
