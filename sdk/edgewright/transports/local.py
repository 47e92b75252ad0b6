"""A device that is a folder on this machine: the same path through the code as any board, without a wire."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO

from edgewright_converter.waiting import readable
from edgewright_runtime.disk import replacing
from edgewright_runtime.errors import storage_errors
from edgewright_runtime.hashing import CHUNK_BYTES

from ..errors import DeviceError, InputError, TransportError
from ..folders import make_folder
from .base import KILLED, PROGRAM_NOT_FOUND, Completed, Sent, nobody_counts

PROGRAM_NOT_EXECUTABLE = 126

# What a board would not know about: this process's Python and tuning of its numeric libraries.
_HOST_ONLY = ("PYTHON", "VIRTUAL_ENV", "CONDA", "TF_", "KERAS_", "OMP_", "OPENBLAS_", "MKL_", "MALLOC_", "LD_")


class LocalTransport:
    """Runs programs in ``folder`` with a clean environment, each in a process group of its own."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder = folder.absolute()
        self._new = not self.folder.exists()
        self.home = PurePosixPath(self.folder)
        self.python = python
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] | None = set()  # None: closed

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        input: bytes = b"",
        on_stderr_line: Callable[[bytes], None] | None = None,
        on_sent: Sent = nobody_counts,
    ) -> Completed:
        deadline = time.monotonic() + timeout_s
        # Files for stdin and stdout: then stderr is the only pipe, and no pipe can fill up while another is waited for.
        make_folder(self.folder)
        with storage_errors(f"use {self.folder}"), TemporaryFile() as stdin, TemporaryFile() as stdout:
            stdin.write(input)
            stdin.seek(0)
            process = None
            try:
                try:
                    with _uninterrupted():
                        process = self._start(argv, stdin, stdout)
                except FileNotFoundError:
                    return Completed(PROGRAM_NOT_FOUND, b"", f"{argv[0]}: not found".encode())
                except PermissionError:
                    return Completed(PROGRAM_NOT_EXECUTABLE, b"", f"{argv[0]}: permission denied".encode())
                except ValueError as error:
                    problem = f"Cannot pass this text to the device ({error}): remove that character."
                    raise InputError(problem) from error
                stderr = _read_lines(process, deadline, on_stderr_line)
                process.wait(max(0.0, deadline - time.monotonic()))
            except (TimeoutError, subprocess.TimeoutExpired):
                raise TransportError(
                    f"{Path(argv[0]).name} did not end within {timeout_s:g} s on the device: "
                    "see whether the device is busy, then try again."
                ) from None
            finally:
                if process is not None:
                    self._end(process)
            stdout.seek(0)
            code = process.returncode
            return Completed(code if code >= 0 else KILLED - code, stdout.read(), stderr)

    def put(self, local: Path, remote: PurePosixPath, *, on_sent: Sent = nobody_counts) -> None:
        target = self.folder / remote
        try:
            source = local.open("rb")
        except OSError as error:
            raise InputError(f"Cannot read {local} ({error.strerror}): check the path.") from error
        with source:
            make_folder(target.parent)
            _copy(source, target, mark=f".{os.getpid()}.{threading.get_ident()}")

    def get(self, remote: PurePosixPath, local: Path) -> None:
        try:
            source = (self.folder / remote).open("rb")
        except OSError as error:
            raise DeviceError(f"Cannot read {remote} on the device ({error.strerror}): check the path.") from error
        with source:
            _copy(source, local)

    def close(self) -> None:
        with self._lock:
            running, self._running = self._running or set(), None
        for process in running:
            _kill_group(process)
        if self._new:  # where nothing was installed, nothing is left
            with suppress(OSError):
                self.folder.rmdir()

    def _start(self, argv: Sequence[str], stdin: IO[bytes], stdout: IO[bytes]) -> "subprocess.Popen[bytes]":
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_HOST_ONLY)}
        with self._lock:
            if self._running is None:
                raise TransportError("The connection to the device is closed: connect again.")
            process = subprocess.Popen(
                list(argv),
                cwd=self.folder,
                env=environment,
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self._running.add(process)
        return process

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        """End the program and what it started, unless it ended by itself."""
        with self._lock:
            if self._running is not None:
                self._running.discard(process)
        if process.poll() is None:
            _kill_group(process)
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait while a program is being started: in between nobody would know what to end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda arrived, frame: waiting.append(arrived))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for arrived in dict.fromkeys(waiting):
            signal.raise_signal(arrived)


def _read_lines(process: "subprocess.Popen[bytes]", deadline: float, on_line: Callable[[bytes], None] | None) -> bytes:
    """Everything the program writes to stderr, telling each line as it comes. Raises TimeoutError."""
    assert process.stderr is not None
    descriptor = process.stderr.fileno()
    collected, told = bytearray(), 0
    while True:
        if not readable(descriptor, deadline):
            raise TimeoutError
        chunk = os.read(descriptor, CHUNK_BYTES)
        collected += chunk
        end = len(collected) if not chunk else collected.rfind(b"\n") + 1
        if on_line is not None:
            for line in bytes(collected[told:end]).splitlines():
                on_line(line)
        told = max(told, end)
        if not chunk:
            return bytes(collected)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _copy(source: IO[bytes], target: Path, mark: str = "") -> None:
    with replacing(target, mark) as out:
        while chunk := source.read(CHUNK_BYTES):
            out.write(chunk)
