"""Results: raw samples in, the same samples out, and percentiles of them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_runtime.errors import InputError
from edgewright_runtime.result import BenchResult, Score, percentile

RESULT = BenchResult(
    bundle={"id": "0" * 64, "name": "tiny", "mode": "int8", "layout": "cpu", "size_bytes": 9, "model_bytes": 5},
    engine={"name": "litert", "version": "2.3.0", "threads": 1},
    environment={"board": {"model": None}, "before": {}, "after": {}},
    startup_ns={"import": 3, "load": 2, "first_invoke": 1},
    warmup_ns=[3],
    latency_ns=[2, 1, 2],
    call_ns=[3, 2, 3],
    memory_bytes={"before": 1, "loaded": 2, "first_invoke": 3, "peak": None},
    score=Score("accuracy", 0.5, 2, 0.1),
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


def test_percentiles_by_nearest_rank() -> None:
    samples = [50, 15, 40, 20, 35]
    assert [percentile(samples, percent) for percent in (5, 30, 40, 50, 100)] == [15, 20, 20, 35, 50]
    assert percentile([7], 99.9) == 7


@given(samples=st.lists(st.integers(0, 1000), min_size=1), percent=st.floats(0.1, 100))
def test_a_percentile_is_the_smallest_sample_with_enough_at_or_below(samples: list[int], percent: float) -> None:
    found = percentile(samples, percent)
    at_or_below = [sample for sample in samples if sample <= found]
    below = [sample for sample in samples if sample < found]
    assert found in samples
    assert 100 * len(at_or_below) >= percent * len(samples) - 1e-6
    assert 100 * len(below) < percent * len(samples) + 1e-6
