"""The process in which one model is measured. It does what the conductor asks, and waits in between.

Each request is a line of JSON on stdin, {"do": …}, each answer one on stdout. The process starts with nothing loaded:
its first request loads the model and takes the time of every step to the first answer. Nothing of the harness but this
file is loaded before that; what it takes afterwards is told, to be subtracted.
"""

import json
import os
import signal
import sys
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Optional

from .errors import EdgewrightError
from .facts import process_memory_bytes, process_pss_bytes

if TYPE_CHECKING:
    from .bundle import Bundle
    from .engines import Engine
    from .timing import Timing

LIMIT_S = 600  # for one request, unless it says how long it will take
# A block comes after other models' blocks: what they have driven out of the caches comes back first.
_REWARM_RUNS, _REWARM_NS = 2, 2_000_000


class Subject:
    """One model. options: bundle, engine, threads, inputs, seed, data."""

    bundle: "Bundle"
    engine: "Engine"
    timing: "Timing"

    def __init__(self, options: dict[str, Any], interpreter_ns: int) -> None:
        self._options = options
        self._startup_ns = {"interpreter": interpreter_ns}
        self._memory: dict[str, Optional[int]] = {"interpreter": process_memory_bytes()[0]}
        self._pss: dict[str, Optional[int]] = {}
        self._harness_bytes = 0

    def load(self) -> dict[str, Any]:
        """From nothing to the first answer."""
        clock = [perf_counter_ns()]

        from .bundle import Bundle
        from .engines import import_engine
        from .model import load_model

        name, _ = import_engine(self._options["engine"])
        clock.append(perf_counter_ns())
        self._memory["imported"] = process_memory_bytes()[0]
        loading = perf_counter_ns()
        self.bundle = Bundle.open(self._options["bundle"])
        self.engine = load_model(self.bundle, name, self._options["threads"])
        clock.append(perf_counter_ns())
        allocated = self._memory["allocated"] = process_memory_bytes()[0]
        self._pss["allocated"] = process_pss_bytes()

        from .samples import input_samples
        from .timing import Timing

        data = self._options["data"]
        samples = input_samples(
            self.bundle, self._options["inputs"], self._options["seed"], Path(data) if data else None
        )
        self.timing = Timing(self.engine, samples)
        ready = process_memory_bytes()[0]
        if ready is not None and allocated is not None:
            self._harness_bytes = max(0, ready - allocated)
        started = perf_counter_ns()
        self.engine.invoke(samples[0])
        self._startup_ns.update(
            {
                "import": clock[1] - clock[0],
                "load": clock[2] - loading - self.engine.allocate_ns,
                "allocate": self.engine.allocate_ns,
                "first_invoke": perf_counter_ns() - started,
            }
        )
        self._memory["first_invoke"] = process_memory_bytes()[0]
        self._pss["first_invoke"] = process_pss_bytes()
        return {"startup_ns": self._startup_ns}

    def warm_up(self) -> dict[str, Any]:
        return {"warmup_ns": self.timing.warm_up().tolist()}

    def block(self, min_runs: int, min_ns: int, max_runs: int) -> dict[str, Any]:
        from resource import RUSAGE_SELF, getrusage

        self.timing.discard(_REWARM_RUNS, _REWARM_NS)
        preempted = getrusage(RUSAGE_SELF).ru_nivcsw
        runs = self.timing.block(min_runs, min_ns, max_runs)
        return {"runs": runs, "preempted": getrusage(RUSAGE_SELF).ru_nivcsw - preempted}

    def finish(self) -> dict[str, Any]:
        """All samples, and the memory before they are told."""
        self._memory["last_invoke"], self._memory["peak"] = process_memory_bytes()
        self._pss["last_invoke"] = process_pss_bytes()
        self._memory["harness"] = self._harness_bytes + self.timing.kept_bytes
        return {
            "latency_ns": self.timing.latency_ns.tolist(),
            "call_ns": self.timing.call_ns.tolist(),
            "at_ns": self.timing.at_ns.tolist(),
            "memory_bytes": self._memory,
            "pss_bytes": self._pss,
            # Only now, for looking it up takes 3 MB.
            "engine": {"name": self.engine.name, "version": self.engine.version},
        }

    def score(self, data: str) -> dict[str, Any]:
        from .dataset import load_dataset, score

        dataset = load_dataset(Path(data), self.bundle)
        if dataset.labels is None:
            return {"score": None}
        return {"score": vars(score(self.engine, dataset, _tell))}

    def count(self, start_ns: int, end_ns: int) -> dict[str, Any]:
        return {"calls_ns": self.timing.count(start_ns, end_ns).tolist()}

    def profile(self) -> dict[str, Any]:
        from .profile import profile
        from .samples import input_samples

        samples = input_samples(self.bundle, "golden")
        return profile(self.bundle, self._options["engine"], self._options["threads"], samples, self._options["seed"])


def _tell(done: int, total: int) -> None:
    """Progress, for the conductor to pass on: an answer that is not the last one."""
    print(json.dumps({"done": done, "total": total}), flush=True)


def main(started_ns: int) -> None:
    """The process's whole life. sys.argv: the options as JSON, and when the process was started."""
    options = json.loads(sys.argv[2])
    if options["cpus"] is not None:
        os.sched_setaffinity(0, options["cpus"])
    subject = Subject(options, started_ns - int(sys.argv[3]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the conductor too, which ends us
    for line in sys.stdin:
        request = json.loads(line)
        do, limit_s = request.pop("do"), request.pop("limit_s", LIMIT_S)
        signal.alarm(limit_s)  # an engine that hangs ends this process
        try:
            answer = getattr(subject, do)(**request)
        except EdgewrightError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        except MemoryError:
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel would have done
        except Exception as error:
            message = f"A defect of edgewright: {type(error).__name__}: {error}."
            answer = {"error": "EdgewrightError", "message": message}
        signal.alarm(0)
        print(json.dumps(answer), flush=True)
