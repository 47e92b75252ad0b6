"""What a bench measured: raw samples and the environment that produced them. Everything else is computed from it."""

import json
from collections.abc import Sequence
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

    bundle: id, name, mode, layout, size_bytes, model_bytes (the flatbuffer alone).
    engine: name, version, threads.
    environment: "board" and its state "before" and "after", as in ``facts``.
    startup_ns: import (of the engine), load (hash and load the model), first_invoke.
    warmup_ns, latency_ns: each run of the model alone, in order; call_ns: the same runs as latency_ns with the copies
    of inputs and outputs.
    memory_bytes: resident in the process before the engine was imported, loaded, after the first_invoke, and the peak
    until the last timed run (scoring comes later); None where the system does not tell.
    started_at: UTC, ISO 8601.
    """

    bundle: dict[str, Any]
    engine: dict[str, Any]
    environment: dict[str, Any]
    startup_ns: dict[str, int]
    warmup_ns: list[int]
    latency_ns: list[int]
    call_ns: list[int]
    memory_bytes: dict[str, Optional[int]]
    score: Optional[Score]
    started_at: str

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
            for samples in (result.warmup_ns, result.latency_ns, result.call_ns):
                if not isinstance(samples, list) or not samples or any(type(sample) is not int for sample in samples):
                    raise ValueError("samples that are not whole nanoseconds")
            for section in (result.bundle, result.engine, result.environment, result.startup_ns, result.memory_bytes):
                if not isinstance(section, dict):
                    raise ValueError("a section that is no object")
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


def percentile(samples: Sequence[int], percent: float) -> int:
    """By nearest rank: the smallest sample that at least ``percent`` of them do not exceed. 0 < percent <= 100."""
    rank = -(-len(samples) * percent // 100)  # rounded up
    return sorted(samples)[max(0, int(rank) - 1)]
