"""Results: raw samples in, the same samples out, and percentiles of them."""

import json
from typing import Any

import pytest

from edgewright_runtime.errors import InputError
from edgewright_runtime.result import BenchResult, Score

RESULT = BenchResult(
    session="one",
    device="kitchen",
    bundle={"id": "0" * 64, "name": "tiny", "mode": "int8", "layout": "cpu", "size_bytes": 9, "model_bytes": 5},
    engine={"name": "litert", "version": "2.3.0", "threads": 1, "cpus": None},
    settings={"inputs": "golden"},
    environment={"board": {"model": None}, "before": {}, "during": [], "after": {}},
    startup_ns={"import": [3], "load": [2], "first_invoke": [1]},
    warmup_ns=[3],
    latency_ns=[2, 1, 2],
    call_ns=[3, 2, 3],
    at_ns=[0, 5, 9],
    blocks=[
        {"launch": 0, "round": 0, "runs": 2, "preempted": 0},
        {"launch": 0, "round": 1, "runs": 1, "preempted": 1},
    ],
    memory_bytes={"interpreter": 1, "allocated": 7, "last_invoke": 9, "peak": None, "harness": 2},
    pss_bytes={"last_invoke": None},
    score=Score("accuracy", 0.5, 2, 0.1),
    throughput=[],
    profile=None,
    energy=None,
    operators=[],
    started_at="2026-01-01T00:00:00+00:00",
)


def test_round_trip() -> None:
    assert BenchResult.from_json(RESULT.to_json()) == RESULT
    assert json.loads(RESULT.to_json())["kind"] == "bench"
    unscored = {**RESULT.to_document(), "score": None}
    assert BenchResult.from_document(unscored).score is None


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"kind": "run"},
        {"latency_ns": []},
        {"latency_ns": [1.5]},
        {"latency_ns": [True]},
        {"call_ns": "12"},
        {"warmup_ns": None},
        {"at_ns": [0, 5]},
        {"blocks": [{"launch": 0, "round": 0, "runs": 2, "preempted": 0}]},
        {"blocks": [{"runs": 3}]},
        {"environment": {"board": {}, "before": {}, "after": {}}},
        {"memory_bytes": []},
        {"engine": []},
        {"score": {"metric": "accuracy"}},
        {"score": 3},
        {"extra": 1},
    ],
)
def test_a_wrong_document_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="no bench result"):
        BenchResult.from_document({**RESULT.to_document(), **change})


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"3", b"\xff", b"{}", b"[" * 100_000])
def test_what_is_no_result_is_refused(raw: bytes) -> None:
    with pytest.raises(InputError, match="no bench result"):
        BenchResult.from_json(raw)


def test_the_harness_is_subtracted_from_what_it_weighs_on() -> None:
    assert [RESULT.memory_of(step) for step in ("interpreter", "allocated", "last_invoke")] == [1, 7, 7]
    assert RESULT.memory_of("peak") is None
