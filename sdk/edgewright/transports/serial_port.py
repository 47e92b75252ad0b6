"""A serial port through pyserial: its many URLs, and its errors as sentences."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import serial

from ..errors import TransportError
from .serial_address import SerialAddress

_READ_S = 0.1
_WRITE_S = 5.0
BREAKS = (
    serial.SerialException,
    OSError,
    TypeError,
    ValueError,
)  # pyserial's own, and what a port closed meanwhile raises


class Port:
    """An open port. Reading and writing may happen in two threads. Raises TransportError where it cannot be opened."""

    def __init__(self, address: SerialAddress) -> None:
        self.address = address
        self._port = self._open()

    def _open(self) -> Any:
        port = self.address.port
        # pyserial's rfc2217:// refuses to open with a time-out for writing; its network gives up by itself.
        write_s = None if port.startswith("rfc2217:") else _WRITE_S
        with _explained(self.address):
            return serial.serial_for_url(
                port, baudrate=self.address.baud, timeout=_READ_S, write_timeout=write_s, exclusive=True
            )

    @property
    def raw(self) -> Any:
        """pyserial's own object."""
        return self._port

    def read(self, timeout_s: float = _READ_S) -> bytes:
        """What comes next; nothing after ``timeout_s``. Raises one of BREAKS."""
        end = int(timeout_s / _READ_S) + 1
        for _ in range(end):
            data = bytes(self._port.read(max(1, self._port.in_waiting)))
            if data:
                return data
        return b""

    def write(self, data: bytes) -> None:
        """Raises one of BREAKS. What a blocked line does not take is lost, as it would be on the line."""
        with suppress(serial.SerialTimeoutException):
            self._port.write(data)

    def drain(self) -> None:
        """Wait until what was written is on the line."""
        self._port.flush()

    def set_baud(self, baud: int) -> None:
        self._port.baudrate = baud

    def reopen(self) -> bool:
        """Whether the port is there again, after a cable was pulled."""
        self.close()
        try:
            self._port = self._open()
        except TransportError:
            return False
        return True

    def close(self) -> None:
        with suppress(*BREAKS):
            self._port.close()


@contextmanager
def _explained(address: SerialAddress) -> Iterator[None]:
    try:
        yield
    except (serial.SerialException, OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            reason = "there is no such port", "`edgewright device add` lists those that there are"
        elif number in (errno.EACCES, errno.EPERM):
            reason = "permission denied", "`sudo usermod -aG dialout $USER`, and log in again"
        elif number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in str(error):
            reason = "another program uses it", "end that program"
        else:
            reason = str(error), "see whether it is right, and what `python -m serial.tools.miniterm` says"
        raise TransportError(f"Cannot open {address} ({reason[0]}): {reason[1]}.") from error
