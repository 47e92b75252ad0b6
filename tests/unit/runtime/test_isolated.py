"""Native code that crashes, hangs or takes all memory ends a child, and is told in a sentence."""

import ctypes
import os
import signal
import threading
import time
from typing import Any

import pytest

from edgewright_runtime.errors import CheckError, EdgewrightError, EngineError
from edgewright_runtime.isolated import isolated


def test_the_answer_comes_back() -> None:
    answer = isolated(lambda: {"golden": [0.5] * 20_000, "pid": os.getpid()})
    assert answer["golden"] == [0.5] * 20_000
    assert answer["pid"] != os.getpid()


def _segfault() -> dict[str, Any]:
    ctypes.string_at(0)
    return {}


def _abort() -> dict[str, Any]:
    os.abort()


def _killed() -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


@pytest.mark.parametrize(
    ("work", "message"),
    [(_segfault, "crashed on this model .signal 11"), (_abort, "crashed on this model .signal 6"), (_killed, "memory")],
)
def test_a_crash_is_told(work: Any, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        isolated(work)


def test_what_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "alarm", lambda seconds: signal.setitimer(signal.ITIMER_REAL, 0.05))
    with pytest.raises(EngineError, match="did not answer within 7 s"):
        isolated(lambda: {"never": time.sleep(60)}, limit_s=7)


def _fails(error: BaseException) -> Any:
    def work() -> dict[str, Any]:
        raise error

    return work


def test_an_error_comes_back_as_what_it_is() -> None:
    with pytest.raises(CheckError, match="the budget"):
        isolated(_fails(CheckError("the budget")))
    with pytest.raises(EngineError, match="memory"):
        isolated(_fails(MemoryError()))
    with pytest.raises(EdgewrightError, match="A defect of edgewright: ZeroDivisionError: oh"):
        isolated(_fails(ZeroDivisionError("oh")))


def test_ctrl_c_ends_the_child_too() -> None:
    threading.Timer(0.1, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()

    def work() -> dict[str, Any]:
        time.sleep(60)
        return {}

    with pytest.raises(KeyboardInterrupt):
        isolated(work)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
