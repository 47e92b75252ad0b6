"""What a bench measured: raw samples and the environment that produced them. Everything else is computed from it."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Optional

from .errors import InputError

SCHEMA = 1


@dataclass(frozen=True)
class Score:
    """How good the answers were, on the device. metric: "accuracy", value from 0 to 1; count: of the labels."""

    metric: str
    value: float
    count: int
    seconds: float


@dataclass(frozen=True)
class BenchResult:
    """One model on one device.

    session: the same for results that were measured in turns; device: its name, filled in by the host.
    bundle: id, name, mode, layout, size_bytes, model_bytes (the flatbuffer alone).
    engine: name, version, threads, cpus (those it was bound to, or None).
    settings: what was asked for (``plan.Plan``).
    environment: "board", its state "before" and "after", as in ``facts``, and "during": states between blocks, each
    with at_ns.
    startup_ns: for each process: interpreter (from its start to its first line), import (numpy and the engine), load
    (verify and map the model), allocate (``allocate_tensors``), first_invoke.
    warmup_ns: the first process's runs of the model before it was timed.
    latency_ns: each run of the model alone, in order; call_ns: with the copies of its inputs and outputs; at_ns: when
    it began, from the beginning of the session.
    blocks: the runs that followed each other without a pause: launch (of the process), round, runs, preempted (how
    often the kernel took the processor away).
    memory_bytes: resident in the first process: interpreter, imported, allocated, first_invoke, last_invoke, and the
    peak until then; harness: how much of the last three is the harness's own. pss_bytes: allocated, first_invoke,
    last_invoke. None where the system does not tell.
    throughput: calls per_second with so many callers, each a process, and threads in each; p50_ns and p90_ns of a call.
    profile: ``profile.profile``; energy: ``energy.energy_document``; None where not asked for or not possible.
    operators: of the flatbuffer, filled in by the host: operator, name (of what it writes), bytes (of its constants).
    started_at: UTC, ISO 8601.
    """

    session: str
    device: str
    bundle: dict[str, Any]
    engine: dict[str, Any]
    settings: dict[str, Any]
    environment: dict[str, Any]
    startup_ns: dict[str, list[int]]
    warmup_ns: list[int]
    latency_ns: list[int]
    call_ns: list[int]
    at_ns: list[int]
    blocks: list[dict[str, int]]
    memory_bytes: dict[str, Optional[int]]
    pss_bytes: dict[str, Optional[int]]
    score: Optional[Score]
    throughput: list[dict[str, Any]]
    profile: Optional[dict[str, Any]]
    energy: Optional[dict[str, Any]]
    operators: list[dict[str, Any]]
    started_at: str

    def memory_of(self, step: str) -> Optional[int]:
        """Resident bytes at that step, without those of the harness; None where unknown."""
        resident, harness = self.memory_bytes.get(step), self.memory_bytes.get("harness") or 0
        if resident is None or step in ("interpreter", "imported", "allocated"):
            return resident
        return resident - harness

    def to_document(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "kind": "bench", **asdict(self)}

    @classmethod
    def from_document(cls, document: Any) -> "BenchResult":
        """Raises InputError where it is not what ``to_document`` gives."""
        try:
            fields = dict(document)
            header = (fields.pop("schema"), fields.pop("kind"))
            if header != (SCHEMA, "bench"):
                raise ValueError(f"schema {header[0]} of kind {header[1]}, not schema {SCHEMA} of kind bench")
            score = fields.pop("score")
            result = cls(score=Score(**score) if score is not None else None, **fields)
            _check(result)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"This is no bench result that this edgewright reads ({error}): run bench again."
            ) from error
        return result

    def to_json(self) -> bytes:
        return json.dumps(self.to_document()).encode() + b"\n"

    @classmethod
    def from_json(cls, raw: bytes) -> "BenchResult":
        """Raises InputError."""
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise InputError("This is no bench result, not even JSON: run bench again.") from error
        return cls.from_document(document)


def _check(result: BenchResult) -> None:
    """Raises ValueError."""
    for samples in (result.warmup_ns, result.latency_ns, result.call_ns, result.at_ns):
        if not isinstance(samples, list) or not samples or any(type(sample) is not int for sample in samples):
            raise ValueError("samples that are not whole nanoseconds")
    if not len(result.latency_ns) == len(result.call_ns) == len(result.at_ns):
        raise ValueError("samples of different numbers")
    for section in (result.bundle, result.engine, result.settings, result.environment, result.startup_ns):
        if not isinstance(section, dict):
            raise ValueError("a section that is no object")
    if not isinstance(result.memory_bytes, dict) or not isinstance(result.pss_bytes, dict):
        raise ValueError("memory that is no object")
    if any(set(block) != {"launch", "round", "runs", "preempted"} for block in result.blocks):
        raise ValueError("blocks without their launch, round and runs")
    if sum(block["runs"] for block in result.blocks) != len(result.latency_ns):
        raise ValueError("blocks that do not add up to the samples")
    if not set(result.environment) >= {"board", "before", "during", "after"}:
        raise ValueError("an environment without its board and states")
