"""Starts a process for each model and lets them take turns: one runs, the others wait.

The processes are those of ``subject``. The conductor itself holds neither an engine nor numpy, and looks at the board
only while no model is being timed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Optional

from .errors import RUNTIME_ERRORS, EdgewrightError, EngineError, InputError
from .facts import board_state
from .isolated import ended_by
from .plan import Plan
from .subject import LIMIT_S

# The clock is read before anything is imported; only then does Python learn where our package is.
_START = (
    "import time; started = time.perf_counter_ns(); import sys; sys.path.insert(0, sys.argv[1]); "
    "from edgewright_runtime.subject import main; main(started)"
)
_STATE_EVERY_NS = 200_000_000

Watch = Callable[[int, int], None]  # done, total


class Process:
    """One model's process. Close it, or use it as a context manager."""

    def __init__(self, bundle: Path, plan: Plan, data: Optional[Path], threads: Optional[int] = None) -> None:
        options = {
            "bundle": str(bundle),
            "engine": plan.engine,
            "threads": plan.threads if threads is None else threads,
            "cpus": plan.cpus,
            "inputs": plan.inputs,
            "seed": plan.seed,
            "data": None if data is None else str(data),
        }
        argv = [sys.executable, "-I", "-c", _START, str(Path(__file__).parents[1]), json.dumps(options)]
        self._process = subprocess.Popen(
            [*argv, str(perf_counter_ns())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def ask(self, do: str, watch: Optional[Watch] = None, **request: Any) -> dict[str, Any]:
        """Raises the error that the process reports; EngineError where it was ended by a signal."""
        self.tell(do, **request)
        return self.hear(watch)

    def tell(self, do: str, **request: Any) -> None:
        """Ask without waiting for the answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def hear(self, watch: Optional[Watch] = None) -> dict[str, Any]:
        """The answer to what was asked last. watch: called with its progress."""
        assert self._process.stdout is not None
        while True:
            line = self._process.stdout.readline()
            if not line:
                raise self._ended()
            answer: dict[str, Any] = json.loads(line)
            if "error" in answer:
                raise RUNTIME_ERRORS.get(answer["error"], EdgewrightError)(answer["message"])
            if set(answer) != {"done", "total"}:
                return answer
            if watch is not None:
                watch(answer["done"], answer["total"])

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ended(self) -> EdgewrightError:
        code = self._process.wait()
        if code < 0:
            return EngineError(ended_by(-code, LIMIT_S))
        return EngineError(f"The process that measures the model ended with exit code {code}: run it with --debug.")


class Watchman:
    """The states of the board while it is measured. Reading them takes a millisecond: never during a timed run."""

    def __init__(self) -> None:
        self.zero_ns = perf_counter_ns()
        self.states: list[dict[str, Any]] = []
        self._last_ns = 0

    def look(self) -> None:
        """Now, unless it was a moment ago."""
        now = perf_counter_ns()
        if now - self._last_ns >= _STATE_EVERY_NS:
            self._last_ns = now
            self.states.append({"at_ns": now - self.zero_ns, **board_state()})


def require_cpus(cpus: Optional[tuple[int, ...]]) -> None:
    """Raises InputError where this process may not use one of them."""
    allowed = os.sched_getaffinity(0)
    if cpus is not None and (not cpus or not set(cpus) <= allowed):
        raise InputError(
            f"The model cannot be bound to the processors {', '.join(map(str, cpus)) or 'none'}: "
            f"this board lets it use {', '.join(map(str, sorted(allowed)))}."
        )
