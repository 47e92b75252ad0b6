"""Runs a task in a child process, because TensorFlow can crash, hang, or take all memory.

The child is `python -m edgewright_converter.worker FOLDER PIPE`. It reads task.pickle there, tells its steps on a pipe,
one JSON document a line, and leaves result.pickle; all that it prints goes to log.txt. It ends itself when its standard
input closes, so that it cannot outlive its parent, however that one ends.
"""

import contextlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgewright_runtime.errors import EdgewrightError, storage_errors

from .errors import CONVERTER_ERRORS, ConversionError
from .waiting import readable

_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}
_ENDS = {
    signal.SIGKILL: "was killed, most likely for lack of memory: close other programs, or use a smaller model",
    signal.SIGSEGV: "crashed (segmentation fault)",
    signal.SIGABRT: "crashed (abort)",
}


def run_isolated(
    task: Callable[..., Any],
    arguments: tuple[Any, ...],
    timeout_s: float,
    progress: Callable[[str, float], None],
    what: str = "conversion",
) -> Any:
    """Call ``task(*arguments, tell)`` in a child and return what it returns. tell(step, fraction) reaches ``progress``.

    task: a function of a module, so that the child finds it by name. what: the task's noun, for messages.
    Raises ConversionError (its ``log`` holds all that the child printed) naming the step in which the child ended, and
    every error that the child raised on purpose.
    """
    with tempfile.TemporaryDirectory(prefix="edgewright-") as name:
        folder = Path(name)
        # pickle: both ends are this very program, and the folder is readable by this user alone.
        with storage_errors(f"write the {what}'s temporary files in {folder}"):
            (folder / "task.pickle").write_bytes(pickle.dumps((task, arguments)))
        child = _Child(folder, timeout_s, what)
        try:
            child.follow(progress)
        except EdgewrightError as error:
            if isinstance(error, ConversionError):
                error.log = _read_log(folder)
            raise
        finally:
            child.kill()
        return pickle.loads((folder / "result.pickle").read_bytes())


class _Child:
    def __init__(self, folder: Path, timeout_s: float, what: str) -> None:
        self._what = what
        self._folder = folder
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._step = "start"
        self._pipe, write_end = os.pipe()
        try:
            with (folder / "log.txt").open("wb") as log:
                # -P: no folder of the user's shadows a module. A session of its own: Ctrl-C reaches the parent alone.
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        "-X",
                        "faulthandler",
                        "-m",
                        "edgewright_converter.worker",
                        str(folder),
                        str(write_end),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(write_end,),
                    start_new_session=True,
                    env={**os.environ, **_ENVIRONMENT},
                )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(write_end)

    def follow(self, progress: Callable[[str, float], None]) -> None:
        """Pass on the child's steps until it ends well. Raises what went wrong."""
        for line in self._lines():
            message = json.loads(line)
            if "error" in message:
                raise CONVERTER_ERRORS.get(message["error"], ConversionError)(message["message"])
            self._step = message["step"]
            progress(self._step, message["fraction"])
        code = self._process.wait(max(0.1, self._deadline - time.monotonic()))
        if code != 0 or not (self._folder / "result.pickle").is_file():
            raise ConversionError(self._obituary(code))

    def kill(self) -> None:
        """End the child and whatever it started; harmless when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        os.close(self._pipe)

    def _lines(self) -> Iterator[bytes]:
        buffer = b""
        while readable(self._pipe, self._deadline):
            chunk = os.read(self._pipe, 65536)
            if not chunk:
                return
            *lines, buffer = (buffer + chunk).split(b"\n")
            yield from lines
        raise ConversionError(
            f"The {self._what} took longer than {self._timeout_s:g} s and was stopped in the step '{self._step}': "
            "allow more (--timeout), or use a smaller model or less data."
        )

    def _obituary(self, code: int) -> str:
        if code >= 0:
            end = f"ended with exit code {code}: look for code in the model or the data that ends Python"
        else:
            end = _ENDS.get(signal.Signals(-code), f"ended by {signal.Signals(-code).name}")
            if -code in (signal.SIGSEGV, signal.SIGABRT):
                end += (
                    ": try the recipe float32 or dynamic-int8"
                    if self._step == "convert"
                    else ": look at what runs there"
                )
        words = " | ".join(decisive_lines(_read_log(self._folder)))
        return f"In the step '{self._step}' the {self._what} {end}." + (f" Its last words: {words}" if words else "")


def _read_log(folder: Path) -> str:
    return (folder / "log.txt").read_text("utf-8", "replace")


def decisive_lines(log: str, count: int = 3) -> list[str]:
    """The lines of a log that tell what went wrong last, without time stamps; a pure function of the text."""
    found = []
    lines = [_STAMP.sub("", line.strip()) for line in log.splitlines()]
    for before, line in zip(["", *lines], lines, strict=False):
        if line.endswith("in _end_with_parent"):  # the child's own watcher waits there
            continue
        # faulthandler prints the innermost Python frame first.
        if before.endswith("(most recent call first):") or (_TELLING.search(line) and not _IDLE.match(line)):
            found.append(line[:200])
    return found[-count:]


_STAMP = re.compile(r"^(?:[IWEF]\d{4} [\d:.]+\s+\d+ |\d{4}-\d\d-\d\d [\d:.]+ ?:? ?)")
_TELLING = re.compile(r"error|fatal|check failed|assert|terminate|what\(\)|abort|killed|cannot|failed", re.IGNORECASE)
_IDLE = re.compile(r"WARNING|INFO|File |Extension modules|Traceback")
