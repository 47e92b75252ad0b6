"""Native code at arm's length: an engine that crashes, hangs or eats all memory takes a child with it, not us."""

import json
import os
import signal
from collections.abc import Callable
from typing import Any

from .errors import RUNTIME_ERRORS, EdgewrightError, EngineError

LIMIT_S = 300


def isolated(work: Callable[[], dict[str, Any]], limit_s: int = LIMIT_S) -> dict[str, Any]:
    """The document that ``work`` returns in a forked child, or its error here.

    Raises EngineError where the child was ended by a signal, or by us after ``limit_s``.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(work, writer, limit_s)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        raise EngineError(ended_by(os.WTERMSIG(status), limit_s))
    answer: dict[str, Any] = json.loads(said)
    if "error" in answer:
        raise RUNTIME_ERRORS.get(answer["error"], EdgewrightError)(answer["message"])
    return answer


def _answer(work: Callable[[], dict[str, Any]], writer: int, limit_s: int) -> None:
    """The child's whole life."""
    try:
        # The lock of the store above all: held here too, it would outlive our parent.
        os.closerange(3, writer)
        os.closerange(writer + 1, 1024)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(limit_s)
        try:
            answer = work()
        except EdgewrightError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        except MemoryError:
            answer = {"error": "EngineError", "message": ended_by(signal.SIGKILL, limit_s)}
        except Exception as error:
            message = f"A defect of edgewright: {type(error).__name__}: {error}."
            answer = {"error": "EdgewrightError", "message": message}
        os.write(writer, json.dumps(answer).encode())
    finally:
        os._exit(0)


def ended_by(number: int, limit_s: int = LIMIT_S) -> str:
    """What it means for a model that a signal ended its process."""
    if number == signal.SIGALRM:
        return f"The engine did not answer within {limit_s} s: convert a smaller model, or use another engine."
    if number == signal.SIGKILL:
        return "The memory of this device was used up while the engine ran the model: convert a smaller model."
    return f"The engine crashed on this model (signal {number}): convert it for this device, or use another engine."
