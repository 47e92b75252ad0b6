"""A device reached by its serial console: a login and a shell there, then an agent of ours with a link of its own.

Nothing is needed on the device but a POSIX shell and Python. When we leave, or are cut off, the agent ends what it runs
and gives the console back; a login that was ours ends with it.
"""

import errno
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO

from edgewright_runtime.disk import replacing
from edgewright_runtime.hashing import CHUNK_BYTES

from ..errors import DeviceError, InputError, TransportError
from ..folders import temporary_folder
from .base import Completed, Sent, nobody_counts
from .quoting import command_line
from .refusals import refusals
from .serial_address import SerialAddress
from .serial_console import PATIENCE_S, Console, Login
from .serial_link import TEXT
from .serial_password import password_for
from .serial_port import BREAKS, Port
from .serial_program import program
from .serial_session import Record, Session
from .serial_shell import Shell

SILENCE_S = 45.0
_START_S = 30.0
_FAREWELL_S = 2.0
_KILL_S = 5.0
_PIECE_BYTES = 8 << 10  # of a file in one record: what a line that is cut has not brought is less than this
_INLINE_BYTES = 8 << 10  # of input that travels with its command; more can be resumed
_WORTH_RAISING_S = 5.0  # of sending: then a higher speed is tried
_WATCH_S = 3.0

_FIND_PYTHON = (
    "for p in python3 python3.13 python3.12 python3.11 python3.10 python3.9; do "
    'if "$p" -I -S -c "import sys;sys.exit(sys.version_info<(3,9))" </dev/null >/dev/null; then r=$p; break; fi; done'
)


class SerialTransport:
    """A connection to a device. name: the device's, for remedies and for its password; password: what is asked when the
    console asks for one, by default the keyring or the terminal; silence_s: how long nothing may be heard until the
    line counts as broken.

    Raises TransportError where nothing answers, DeviceError where the login is refused or there is no Python,
    InputError where nobody is known who could log in.
    """

    def __init__(
        self,
        address: SerialAddress,
        *,
        name: str = "NAME",
        password: Callable[[], str] | None = None,
        silence_s: float = SILENCE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.address = address
        self._session: Session | None = None
        self._one_command, self._closing = Lock(), Lock()
        login = Login(address.user, password or (lambda: password_for(str(address.user), name)))
        port, number = Port(address), secrets.randbelow(1 << 15)
        try:
            shell = Console(port, str(address), login, number, patience_s).shell()
            heard = _start_agent(shell, number, address, silence_s)
            self._session = Session(port, number, silence_s, heard)
            _, body = self._session.expect()
        except BaseException as error:
            if self._session is not None:
                self._session.close()
            else:
                with suppress(*BREAKS):
                    port.write(b"\x03")  # ends a shell of ours
            port.close()
            if isinstance(error, BREAKS):
                raise TransportError(f"{address} is gone ({error}): see whether the cable is plugged in.") from error
            raise
        self._port = port
        self.python, home = json.loads(body)
        self.home = PurePosixPath(home)

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        input: bytes = b"",
        on_stderr_line: Callable[[bytes], None] | None = None,
        on_sent: Sent = nobody_counts,
    ) -> Completed:
        command_line(argv)  # refuses what no program can be given
        with self._one_command, refusals(f"use {self.home} on the device"):
            staged = self._stage(input, on_sent) if len(input) > _INLINE_BYTES else None
            request = json.dumps({"argv": list(argv), "stdin": staged and str(staged)}).encode()
            session = self._open_session()
            session.begin(b"R", request + b"\0" + (b"" if staged else input))
            try:
                return self._follow(session, PurePosixPath(argv[0]).name, timeout_s, on_stderr_line)
            except TransportError:
                raise
            except BaseException:
                self._kill(session)
                raise

    def put(self, local: Path, remote: PurePosixPath, *, on_sent: Sent = nobody_counts) -> None:
        try:
            source = local.open("rb")
        except OSError as error:
            raise InputError(f"Cannot read {local} ({error.strerror}): check the path.") from error
        with source, self._one_command, refusals(f"write {remote} on the device"):
            self._send(source, remote, on_sent)

    def get(self, remote: PurePosixPath, local: Path) -> None:
        with self._one_command:
            session = self._open_session()
            session.begin(b"G", json.dumps({"path": str(remote)}).encode())
            try:
                self._expect(session)
            except OSError as error:
                raise DeviceError(f"Cannot read {remote} on the device ({error.strerror}): check the path.") from error
            digest = hashlib.sha256()
            with replacing(local) as out:
                while (record := session.expect())[0] == b"d":
                    out.write(record[1])
                    digest.update(record[1])
                if record != (b"x", digest.hexdigest().encode()):
                    raise TransportError(f"The copy of {remote} from {self.address} broke off: try again.")

    def close(self) -> None:
        with self._closing:  # Ctrl-C closes it from another thread than the one that uses it
            session, self._session = self._session, None
            if session is None:
                return
            with suppress(TransportError):
                session.begin(b"Q", b"")
            session.close(_FAREWELL_S)
            self._port.close()

    def _open_session(self) -> Session:
        if self._session is None:
            raise TransportError(f"The connection to {self.address} is closed: connect again.")
        return self._session

    def _follow(
        self, session: Session, what: str, timeout_s: float, on_line: Callable[[bytes], None] | None
    ) -> Completed:
        end, stdout, stderr, told = time.monotonic() + timeout_s, bytearray(), bytearray(), 0
        while True:
            record = session.answer(end - time.monotonic())
            if record is None:
                self._kill(session)
                raise TransportError(
                    f"{what} did not end within {timeout_s:g} s on the device: see whether it is busy, then try again."
                )
            kind, body = record
            _raise_refusal(record)
            if kind == b"o":
                stdout += body
            elif kind == b"e":
                stderr += body
            complete = len(stderr) if kind == b"x" else stderr.rfind(b"\n") + 1
            if on_line is not None:
                for line in bytes(stderr[told:complete]).splitlines():
                    on_line(line)
            told = max(told, complete)
            if kind == b"x":
                return Completed(int(body), bytes(stdout), bytes(stderr))

    def _kill(self, session: Session) -> None:
        """Returns when the program is dead, or cannot be reached."""
        end = time.monotonic() + _KILL_S
        with suppress(TransportError):
            session.say(b"K")
            while (left_s := end - time.monotonic()) > 0:
                if (session.answer(left_s) or (b"", b""))[0] == b"k":
                    return

    def _stage(self, input: bytes, on_sent: Sent) -> PurePosixPath:
        """Have a command's input on the device as a file, so that what has arrived of it is not sent again."""
        place = self.home / "incoming" / f"{hashlib.sha256(input).hexdigest()}.stdin"
        with temporary_folder() as folder:
            path = folder / "stdin"
            path.write_bytes(input)
            with path.open("rb") as source:
                self._send(source, place, on_sent)
        return place

    def _send(self, source: IO[bytes], remote: PurePosixPath, on_sent: Sent) -> None:
        """Raises OSError with what the device reports."""
        size_bytes, digest = os.fstat(source.fileno()).st_size, _digest(source)
        for last in (False, True):
            try:
                self._send_once(source, size_bytes, digest, remote, on_sent)
                return
            except OSError as error:
                if error.errno != errno.EBADMSG or last:
                    raise

    def _send_once(self, source: IO[bytes], size_bytes: int, digest: str, remote: PurePosixPath, on_sent: Sent) -> None:
        session = self._open_session()
        self._consider_speed(session, size_bytes)
        session.begin(b"P", json.dumps({"path": str(remote), "size": size_bytes, "sha256": digest}).encode())
        arrived, arrived_digest = json.loads(self._expect(session)[1])
        start = arrived if _digest(source, arrived) == arrived_digest else 0
        source.seek(start)
        session.say(b"F", str(start).encode())
        sent, here, watch = start, start, _Watch(session)
        while chunk := source.read(_PIECE_BYTES):
            session.say(b"D", chunk)
            sent += len(chunk)
            here = max(here, sent - session.unsent())
            on_sent(here, size_bytes)
            refusal = session.answer(0.0)
            if refusal is not None:
                _raise_refusal(refusal)
            watch.look(here)
        self._expect(session)
        on_sent(size_bytes, size_bytes)

    def _consider_speed(self, session: Session, size_bytes: int) -> None:
        if size_bytes / session.bytes_per_s > _WORTH_RAISING_S:
            session.raise_speed()

    def _expect(self, session: Session) -> Record:
        """The device's answer, whenever it comes. Raises OSError with what it reports."""
        record = session.expect()
        _raise_refusal(record)
        return record


class _Watch:
    """A line so bad that the next lower speed would carry more gets that speed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._since_s, self._from = time.monotonic(), -1

    def look(self, arrived: int) -> None:
        now = time.monotonic()
        if self._from < 0:
            self._since_s, self._from = now, arrived
        elif now - self._since_s > _WATCH_S:
            rate = (arrived - self._from) / (now - self._since_s)
            self._since_s, self._from = now, arrived
            if rate < self._session.bytes_per_s / 2:
                self._session.lower_speed()


def _start_agent(shell: Shell, number: int, address: SerialAddress, silence_s: float) -> bytes:
    """Returns the first that it says."""
    python = shell.do(_FIND_PYTHON)
    if not python:
        shell.do("exit")
        raise DeviceError(f"{address} has no Python 3.9 or later: install one there.")
    shell.set("a", program())
    shell.assign("h", os.fsencode(address.home))
    command = f'cd; {python} -I -S -c "$a" {number} {address.baud} {silence_s:g} "$h"'
    return shell.leave_to(command, TEXT.search, _START_S)


def _raise_refusal(record: Record) -> None:
    kind, body = record
    if kind == b"f":
        number = getattr(errno, body.decode(), errno.EIO)
        raise OSError(number, os.strerror(number))


def _digest(source: IO[bytes], length: int | None = None) -> str:
    """The SHA-256 of a file, or of its first bytes."""
    source.seek(0)
    digest, left = hashlib.sha256(), length
    while chunk := source.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)):
        digest.update(chunk)
        left = None if left is None else left - len(chunk)
    source.seek(0)
    return digest.hexdigest()
