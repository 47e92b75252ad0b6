"""Measure models: start, latency, memory, and on request throughput, where the time goes, and energy.

Each model has a process of its own, or its memory would be that of all. Several models take turns in random order,
block by block: whatever else the board does meets all of them alike. And each is started several times, for where a
process happens to lie in memory makes it faster or slower by more than what is often compared. Timed is the run alone,
as the engine's own benchmark tool does it; a call with its copies is recorded beside.

What is not latency comes afterwards, each in processes of its own: the score on a data set, throughput, profile,
energy.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from typing import Any, Optional

from .bundle import Bundle
from .conductor import Process, Watchman, require_cpus
from .errors import InputError
from .facts import board_facts, board_state
from .limits import MAX_RUNS
from .load import energy, throughput
from .plan import Plan
from .result import BenchResult, Score

Progress = Callable[[int, int, str], None]  # done, total, what

_LONG_S = 3600  # for what grows with what was asked for


def bench(
    bundles: Sequence[Bundle],
    plan: Plan,
    data: Sequence[Optional[Path]] = (),
    progress: Optional[Progress] = None,
) -> list[BenchResult]:
    """One result for each bundle, in their order.

    data: nothing, or for each bundle an .npz as ``dataset`` reads it, to score the model on (and, with the inputs
    "data", to time it with). progress: called now and then. Raises BundleError, EngineError, InputError.
    """
    tell = progress or (lambda done, total, what: None)
    paths = list(data) or [None] * len(bundles)
    if not bundles or len(paths) != len(bundles):
        raise InputError(f"A bench takes one bundle at least, and as many data sets: {len(bundles)}, {len(paths)}.")
    for path in paths:
        if path is not None and not path.is_file():
            raise InputError(f"There is no file {path}: check the path.")
    require_cpus(plan.cpus)
    if plan.inputs == "data" and None in paths:
        raise InputError("To time a model with real inputs it takes a data set: give one.")
    measured = [_Measured(bundle, path) for bundle, path in zip(bundles, paths)]
    started_at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    environment: dict[str, Any] = {"board": board_facts(), "before": board_state()}
    watchman, launches = Watchman(), plan.launched(len(measured))
    for launch in range(launches):
        _launch(measured, plan, launch, launches, watchman, tell)
    tell(100, 100, "bench")
    environment.update(during=watchman.states, after=board_state())
    for index, model in enumerate(measured):
        _afterwards(model, plan, _scored(tell, index, len(measured)))
    session = f"{started_at} {Random(f'{started_at} {watchman.zero_ns}').getrandbits(32):08x}"
    return [model.result(session, plan, environment, watchman.zero_ns, started_at) for model in measured]


class _Measured:
    """What was found out about one model so far."""

    def __init__(self, bundle: Bundle, data: Optional[Path]) -> None:
        self.bundle, self.data = bundle, data
        self.engine: dict[str, Any] = {}
        self.startup_ns: dict[str, list[int]] = {}
        self.warmup_ns: list[int] = []
        self.samples: dict[str, list[int]] = {"latency_ns": [], "call_ns": [], "at_ns": []}
        self.blocks: list[dict[str, int]] = []
        self.memory: dict[str, dict[str, Optional[int]]] = {}
        self.score: Optional[Score] = None
        self.throughput: list[dict[str, Any]] = []
        self.profile: Optional[dict[str, Any]] = None
        self.energy: Optional[dict[str, Any]] = None

    def loaded(self, answer: dict[str, Any]) -> None:
        for step, duration_ns in answer["startup_ns"].items():
            self.startup_ns.setdefault(step, []).append(duration_ns)

    def finished(self, answer: dict[str, Any]) -> None:
        for kind, kept in self.samples.items():
            kept += answer[kind]
        self.engine = answer["engine"]
        self.memory = self.memory or {kind: answer[kind] for kind in ("memory_bytes", "pss_bytes")}

    def result(
        self, session: str, plan: Plan, environment: dict[str, Any], zero_ns: int, started_at: str
    ) -> BenchResult:
        variant = self.bundle.manifest.variant("edgetpu" if self.engine["name"] == "edgetpu" else "cpu")
        return BenchResult(
            session=session,
            device="",
            bundle={
                "id": self.bundle.id,
                "name": self.bundle.manifest.name,
                "mode": variant.mode,
                "layout": variant.layout,
                "size_bytes": self.bundle.size_bytes,
                "model_bytes": next(f.size_bytes for f in self.bundle.manifest.files if f.path == variant.path),
            },
            engine={**self.engine, "threads": plan.threads, "cpus": plan.cpus and list(plan.cpus)},
            settings={**asdict(plan), "cpus": plan.cpus and list(plan.cpus)},
            environment=environment,
            startup_ns=self.startup_ns,
            warmup_ns=self.warmup_ns,
            latency_ns=self.samples["latency_ns"],
            call_ns=self.samples["call_ns"],
            at_ns=[at_ns - zero_ns for at_ns in self.samples["at_ns"]],
            blocks=self.blocks,
            memory_bytes=self.memory["memory_bytes"],
            pss_bytes=self.memory["pss_bytes"],
            score=self.score,
            throughput=self.throughput,
            profile=self.profile,
            energy=self.energy,
            operators=[],
            started_at=started_at,
        )


def _launch(
    measured: Sequence[_Measured],
    plan: Plan,
    launch: int,
    launches: int,
    watchman: Watchman,
    tell: Progress,
) -> None:
    """One process for each model: loaded, warmed up, and timed in turns."""
    random = Random(f"{plan.seed} {launch}")
    rounds, min_runs, min_ns = plan.blocks(len(measured))
    max_runs = max(min_runs, MAX_RUNS // (rounds * launches))
    order = random.sample(measured, len(measured))
    with ExitStack() as processes:
        process = {}
        for model in order:
            process[model] = processes.enter_context(Process(model.bundle.path, plan, model.data))
            model.loaded(process[model].ask("load"))
        for model in order:
            warmup_ns = process[model].ask("warm_up")["warmup_ns"]
            model.warmup_ns = model.warmup_ns or warmup_ns
        for turn in range(rounds):
            for model in random.sample(measured, len(measured)):
                answer = process[model].ask(
                    "block", min_runs=min_runs, min_ns=min_ns, max_runs=max_runs, limit_s=_LONG_S
                )
                model.blocks.append({"launch": launch, "round": turn, **answer})
                watchman.look()
            tell(min(99, 100 * (launch * rounds + turn + 1) // (launches * rounds)), 100, "bench")
        for model in order:
            model.finished(process[model].ask("finish"))


def _scored(tell: Progress, index: int, count: int) -> Callable[[int, int], None]:
    """Each model's part of the scoring."""
    return lambda done, total: tell(index * total + done, count * total, "score")


def _afterwards(model: _Measured, plan: Plan, tell_score: Callable[[int, int], None]) -> None:
    if model.data is not None:
        with Process(model.bundle.path, plan, None if plan.inputs != "data" else model.data) as process:
            process.ask("load")
            found = process.ask("score", watch=tell_score, data=str(model.data), limit_s=_LONG_S)["score"]
        model.score = None if found is None else Score(**found)
    if plan.throughput:
        model.throughput = throughput(model.bundle.path, plan, model.data)
    if plan.profile:
        with Process(model.bundle.path, plan, model.data) as process:
            process.ask("load")
            model.profile = process.ask("profile", limit_s=_LONG_S)
    if plan.energy:
        model.energy = energy(model.bundle.path, plan, model.data)
