"""Talk to the edgewright_runtime on a device, through any transport.

Its commands answer with one JSON document on stdout, and tell their progress as JSON lines on stderr.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

from . import errors
from .devices import Device, find_device
from .progress import Progress, part, sending, silent
from .runtime_archive import runtime_archive
from .transports import Completed, Transport
from .transports.base import KILLED, PROGRAM_NOT_FOUND

SCHEMA = 1
_NO_SUCH_FILE = 2  # how Python ends where the program it is given does not exist


class Remote:
    """A device as this edgewright sees it. Made by ``connect``; close it, or use it in a ``with`` block.

    python: the interpreter that has the engine, by default that of the environment that ``device setup`` makes.
    """

    def __init__(self, name: str, transport: Transport, python: str | None = None) -> None:
        self.name = name
        self.transport = transport
        self.home = transport.home
        self.python = python or str(self.home / "venv/bin/python")

    def __enter__(self) -> "Remote":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; may be called twice."""
        self.transport.close()

    def call(
        self,
        command: str,
        *arguments: str | PurePosixPath,
        input: bytes = b"",
        timeout_s: float = 120.0,
        progress: Progress = silent,
        heard: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        """Run one command of the runtime and return its document. heard: called with each part of an answer that comes
        before the document does.

        Raises the error that the runtime reports, or DeviceError where there is no runtime or no document.
        """
        program = self.home / "runtimes" / runtime_archive().digest
        argv = [self.python, "-I", str(program), command, *map(str, arguments)]

        def run() -> Completed:
            return self.transport.run(
                argv,
                timeout_s=timeout_s,
                input=input,
                on_stderr_line=lambda line: _tell(line, progress, heard),
                on_sent=sending(part(progress, 0.0, 0.0), "sending"),
            )

        completed = run()
        if completed.returncode == _NO_SUCH_FILE and not completed.stdout:  # set up by another version of edgewright
            self.install_runtime()
            completed = run()
        try:
            document = json.loads(completed.stdout)
            kind, schema = document["kind"], document["schema"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self._explain(completed.returncode, completed.stderr) from None
        if schema != SCHEMA:
            raise errors.DeviceError(
                f"{self.name} answers in schema {schema}, expected {SCHEMA}: run `edgewright device setup {self.name}`."
            )
        if kind == "error":
            raise _error_kind(document.get("error"))(f"On {self.name}: {document.get('message')}")
        return dict(document)

    def install_runtime(self) -> None:
        """Copy the runtime's own files to the device. Raises DeviceError, StorageError."""
        archive = runtime_archive()
        self.bootstrap("unpack", archive.digest, input=archive.content)

    def bootstrap(self, command: str, *arguments: str, input: bytes = b"", timeout_s: float = 120.0) -> dict[str, Any]:
        """Run one command of bootstrap.py with the device's own Python. Raises DeviceError."""
        source = files("edgewright").joinpath("bootstrap.py").read_text("utf-8")
        argv = [self.transport.python, "-I", "-c", source, command, str(self.home), *arguments]
        completed = self.transport.run(argv, timeout_s=timeout_s, input=input)
        try:
            answer = dict(json.loads(completed.stdout))
        except (ValueError, TypeError):
            if completed.returncode == PROGRAM_NOT_FOUND:
                raise errors.DeviceError(
                    f"{self.name} has no {self.transport.python}: install Python 3.9 or later there."
                ) from None
            raise self._explain(completed.returncode, completed.stderr) from None
        if "error" in answer:
            raise errors.StorageError(f"On {self.name}: cannot change {self.home}: {answer['error']}.")
        return answer

    def _explain(self, returncode: int, stderr: bytes) -> errors.DeviceError:
        if returncode == PROGRAM_NOT_FOUND:
            return errors.DeviceError(f"{self.name} is not set up: run `edgewright device setup {self.name}`.")
        if returncode > KILLED:
            return errors.DeviceError(
                f"The runtime on {self.name} was ended by signal {returncode - KILLED}: "
                "if that is 9, the device has probably run out of memory; if 11 or 6, the engine has crashed."
            )
        last = stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:300]
        return errors.DeviceError(
            f"The runtime on {self.name} gave no answer ({last or f'exit code {returncode}'}): "
            f"run `edgewright device setup {self.name}`."
        )


def connect(device: str | Device) -> Remote:
    """Open a device by its name, its URI, or as a Device.

        with edgewright.connect("kitchen") as kitchen:
            edgewright.flash("intents.ewb", kitchen)

    Raises DeviceError where the device is unknown or cannot be reached.
    """
    device = find_device(device) if isinstance(device, str) else device
    return Remote(device.name, device.open())


@contextmanager
def connected(device: "str | Device | Remote") -> Iterator[Remote]:
    """The device as a Remote, closed at the end unless it was open before."""
    if isinstance(device, Remote):
        yield device
    else:
        with connect(device) as remote:
            yield remote


def _error_kind(name: Any) -> type[errors.EdgewrightError]:
    """The class of that name; DeviceError for one that only a newer runtime knows."""
    kind: type[errors.EdgewrightError] = getattr(errors, name) if name in errors.__all__ else errors.DeviceError
    return kind


def _tell(line: bytes, progress: Progress, heard: Callable[[dict[str, Any]], None] | None) -> None:
    """Pass a line of progress on, or a part of the answer; any other line on stderr is talk."""
    try:
        report = json.loads(line)
        if heard is not None and isinstance(report, dict) and "what" not in report:
            heard(report)
            return
        progress(str(report["what"]), min(1.0, report["done"] / report["total"]))
    except (ValueError, KeyError, TypeError, ZeroDivisionError, RecursionError):
        return
