"""A device reached by SSH: one connection, from the first command to ``close``; a broken one is told, never hidden.

Beside each program on the device stands far_end.py, which ends it when the host is gone or silent. Where there is no
Python for it, a shell script can still look around: so `device probe` can tell what such a device lacks.
"""

import asyncio
import errno
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path, PurePosixPath
from threading import BoundedSemaphore, Lock
from typing import IO

import asyncssh

from edgewright_runtime.disk import replacing
from edgewright_runtime.hashing import CHUNK_BYTES

from ..errors import DeviceError, InputError, TransportError
from .background import BackgroundLoop, Tell, nobody
from .base import KILLED, Completed, Sent, nobody_counts
from .quoting import command_line
from .refusals import refusals
from .ssh_address import SshAddress
from .ssh_connect import MISSED_SIGNS, connect
from .ssh_session import Session

SILENCE_S = 45.0
_SLOWEST_BYTES_PER_S = 50_000  # a busy 2.4 GHz network, two walls away
_FILE_TIMEOUT_S = 120.0  # beside the time for its bytes: a slow card may take long to sync
_LOOK_TIMEOUT_S = 30.0
_CLOSE_TIMEOUT_S = 2.0
_SAMPLES = 16
_MAX_SESSIONS = 5  # at once, of several threads: sshd has places for 10, and may free one after the next has come
_ANSWER = b"\0edgewright "  # see far_end.py

_FIND_PYTHON = """\
for python in python3 python3.13 python3.12 python3.11 python3.10 python3.9; do
    "$python" -I -S -c '
import os, sys
sys.version_info < (3, 9) and sys.exit(1)
os.write(1, b"\\0edgewright \\0" + os.fsencode(sys.executable) + b"\\0" + os.fsencode(os.getcwd()))
' 2>/dev/null && exit
done
printf '\\0edgewright \\0\\0%s' "$PWD"
"""
_WITHOUT_PYTHON = """printf '\\0edgewright \\0'; exec "$@" </dev/null"""


class SshTransport:
    """A connection to a device. name: the device's, for remedies; identity: the private key to use, and no other.

    silence_s: how long one end may be silent until the other takes the connection for broken. Raises TransportError
    where there is no connection to be had. Where the device has no Python that is new enough, all but a shell script
    without input raises DeviceError.
    """

    def __init__(
        self, address: SshAddress, *, name: str = "NAME", identity: Path | None = None, silence_s: float = SILENCE_S
    ) -> None:
        self.address = address
        self._silence_s = silence_s
        self._connection: asyncssh.SSHClientConnection | None = None
        self._sessions = BoundedSemaphore(_MAX_SESSIONS)
        self._closing = Lock()
        self._loop = BackgroundLoop()
        try:
            self._connection = self._loop.wait(lambda tell: connect(address, name, identity, silence_s))
            python, login_folder = self._look()
        except BaseException:
            self.close()
            raise
        self._has_python, self.python = bool(python), python or "python3"
        self.home = PurePosixPath(login_folder) / address.home

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        input: bytes = b"",
        on_stderr_line: Callable[[bytes], None] | None = None,
        on_sent: Sent = nobody_counts,
    ) -> Completed:
        if not self._has_python and argv[0] == "sh" and not input:
            shell = ["sh", "-c", _WITHOUT_PYTHON, "sh", *argv]
            return self._exchange("sh", shell, timeout_s, hear=on_stderr_line or nobody)
        pieces = (input[start : start + CHUNK_BYTES] for start in range(0, len(input), CHUNK_BYTES))
        far_end = self._far_end("run", str(len(input)), *argv)
        with refusals(f"use {self.home} on the device"):
            return self._exchange(PurePosixPath(argv[0]).name, far_end, timeout_s, pieces, on_stderr_line or nobody)

    def put(self, local: Path, remote: PurePosixPath, *, on_sent: Sent = nobody_counts) -> None:
        try:
            source = local.open("rb")
        except OSError as error:
            raise InputError(f"Cannot read {local} ({error.strerror}): check the path.") from error
        with source, refusals(f"write {remote} on the device"):
            timeout_s = _FILE_TIMEOUT_S + os.fstat(source.fileno()).st_size / _SLOWEST_BYTES_PER_S
            far_end = self._far_end("put", str(remote))
            completed = self._exchange(f"the copy to {remote}", far_end, timeout_s, _deflated(source, on_sent))
        self._expect_success(f"the copy to {remote}", completed)

    def get(self, remote: PurePosixPath, local: Path) -> None:
        try:
            completed = self._exchange(f"the copy of {remote}", self._far_end("get", str(remote)), _FILE_TIMEOUT_S)
        except OSError as error:
            raise DeviceError(f"Cannot read {remote} on the device ({error.strerror}): check the path.") from error
        self._expect_success(f"the copy of {remote}", completed)
        with replacing(local) as out:
            out.write(completed.stdout)

    def close(self) -> None:
        with self._closing:  # Ctrl-C closes it from another thread than the one that uses it
            if self._connection is not None:
                connection, self._connection = self._connection, None
                self._loop.wait(lambda tell: _end(connection))
            self._loop.close()

    def _look(self) -> tuple[str, str]:
        """The device's Python, "" where there is none, and the folder in which a login starts."""
        found = self._exchange("the search for Python", ["sh", "-c", _FIND_PYTHON], _LOOK_TIMEOUT_S).stdout
        python, folder = map(os.fsdecode, found.split(b"\0"))
        return python, folder

    def _far_end(self, *command: str) -> list[str]:
        if not self._has_python:
            raise DeviceError(f"{self.address} has no Python 3.9 or later: install one there.")
        source = files("edgewright.transports").joinpath("far_end.py").read_text("utf-8")
        return [self.python, "-I", "-S", "-c", source, str(self.home), str(self._silence_s), *command]

    def _exchange(
        self, what: str, argv: Sequence[str], timeout_s: float, pieces: Iterable[bytes] = (), hear: Tell = nobody
    ) -> Completed:
        """Run what gives an answer before its output. Raises OSError where that is an errno, else TransportError."""
        if self._connection is None:
            raise TransportError(f"The connection to {self.address} is closed: connect again.")
        connection, line = self._connection, b"exec " + command_line(argv)

        async def work(tell: Tell) -> Completed:
            session = Session(tell)
            try:
                code = await session.converse(connection, line, pieces, timeout_s, self._silence_s / MISSED_SIGNS)
            except TimeoutError:
                raise TransportError(
                    f"{what} did not end within {timeout_s:g} s on the device: see whether it is busy, then try again."
                ) from None
            except (asyncssh.Error, ConnectionError) as error:
                raise TransportError(
                    f"The connection to {self.address} broke ({error}) before {what} ended: see whether the device has "
                    f"power and a network, then try again; what runs there ends within {self._silence_s:g} s."
                ) from error
            return Completed(code if code >= 0 else KILLED - code, bytes(session.stdout), bytes(session.stderr))

        with self._sessions:
            return self._answered(self._loop.wait(work, hear))

    def _answered(self, completed: Completed) -> Completed:
        """Without what the login shell says and without the answer."""
        _, begun, rest = completed.stdout.partition(_ANSWER)
        name, _, content = rest.partition(b"\0")
        if not begun:
            raise TransportError(
                f"{self.address} does not run commands ({_last_line(completed.stderr or completed.stdout)}): "
                "see what its login shell says to `ssh`."
            )
        if name:
            number = getattr(errno, name.decode(), errno.EIO)
            raise OSError(number, os.strerror(number))
        return Completed(completed.returncode, content, completed.stderr)

    def _expect_success(self, what: str, completed: Completed) -> None:
        if completed.returncode != 0:
            raise TransportError(f"{what} on {self.address} broke off ({_last_line(completed.stderr)}): try again.")


def _deflated(source: IO[bytes], on_sent: Sent) -> Iterator[bytes]:
    """A file as a zlib stream. Weights often cannot be compressed: then they are stored, which costs no time."""
    size_bytes = os.fstat(source.fileno()).st_size
    sample = b""
    for part in range(_SAMPLES):
        source.seek(part * size_bytes // _SAMPLES)
        sample += source.read(CHUNK_BYTES // _SAMPLES)
    source.seek(0)
    stream = zlib.compressobj(1 if len(zlib.compress(sample, 1)) < 0.9 * len(sample) else 0)
    while chunk := source.read(CHUNK_BYTES):
        yield stream.compress(chunk)
        on_sent(source.tell(), size_bytes)
    yield stream.flush()


def _last_line(text: bytes) -> str:
    return text.decode("utf-8", "replace").strip().rpartition("\n")[2][:300] or "it says nothing"


async def _end(connection: asyncssh.SSHClientConnection) -> None:
    connection.close()
    with suppress(TimeoutError):
        await asyncio.wait_for(connection.wait_closed(), _CLOSE_TIMEOUT_S)
    connection.abort()
