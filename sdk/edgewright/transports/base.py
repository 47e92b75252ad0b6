"""What every transport does. One contract test suite holds all of them to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

PROGRAM_NOT_FOUND = 127
KILLED = 128  # a program ended by signal n returns KILLED + n


@dataclass(frozen=True)
class Completed:
    """A command that ended by itself. returncode: as a POSIX shell reports it, 127 where there is no such program."""

    returncode: int
    stdout: bytes
    stderr: bytes


Sent = Callable[[int, int], None]  # (bytes that have arrived so far, bytes in all)


def nobody_counts(arrived: int, size_bytes: int) -> None:
    """For whoever does not watch what is sent."""


class Transport(Protocol):
    """A way to run commands on a device and to copy files.

    home: edgewright's folder there; python: the interpreter there that makes the virtual environment. Relative paths
    start where the device's commands start. Every method raises TransportError where the way to the device breaks.
    """

    home: PurePosixPath
    python: str

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        input: bytes = b"",
        on_stderr_line: Callable[[bytes], None] | None = None,
        on_sent: Sent = nobody_counts,
    ) -> Completed:
        """Run a program to its end. A failing program is an answer, not an error.

        on_stderr_line: called with each line of stderr, without its end, as soon as it arrives; on_sent: called now and
        then while much ``input`` is on its way.
        Raises TransportError after ``timeout_s``; then, and on Ctrl-C, the program has been killed.
        """
        ...

    def put(self, local: Path, remote: PurePosixPath, *, on_sent: Sent = nobody_counts) -> None:
        """Copy a file to the device, making its folder; ``remote`` is complete or as it was before.

        on_sent: called now and then while the file is on its way.

        Raises InputError where ``local`` cannot be read, StorageError where the device refuses to write.
        """
        ...

    def get(self, remote: PurePosixPath, local: Path) -> None:
        """Copy a file from the device; ``local`` is complete or as it was before.

        Raises DeviceError where the device has no such file, StorageError where ``local`` cannot be written.
        """
        ...

    def close(self) -> None:
        """End the connection; may be called twice."""
        ...
