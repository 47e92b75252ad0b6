"""Bench: raw samples, in the promised number and order, and what surrounds them."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from unit.models import tiny_bundle

from edgewright_runtime.bench import MAX_RUNS, bench
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.errors import InputError
from edgewright_runtime.result import BenchResult


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path / "tiny.ewb"))


def test_a_result_holds_every_sample(bundle: Bundle) -> None:
    result = bench(bundle, min_runs=30, min_seconds=0)
    assert len(result.latency_ns) == len(result.call_ns) == 30
    assert all(0 < run < call for run, call in zip(result.latency_ns, result.call_ns, strict=True))
    assert len(result.warmup_ns) >= 20
    assert set(result.startup_ns) == {"import", "load", "first_invoke"}
    assert all(value > 0 for value in result.startup_ns.values())
    assert result.score is None
    assert result.bundle == {
        "id": bundle.id,
        "name": "tiny",
        "mode": "float32",
        "layout": "cpu",
        "size_bytes": bundle.path.stat().st_size,
        "model_bytes": len(bundle.read("model.tflite")),
    }
    assert (result.engine["threads"], result.environment["board"]["cores"] > 0) == (1, True)
    assert datetime.fromisoformat(result.started_at).tzinfo == UTC
    assert BenchResult.from_json(result.to_json()) == result


def test_it_goes_on_for_the_seconds_asked_for(bundle: Bundle) -> None:
    result = bench(bundle, min_runs=1, min_seconds=0.05)
    assert 1 < len(result.latency_ns) <= MAX_RUNS
    # What is not in the sum is the loop between the calls, and little of it.
    assert len(result.latency_ns) == MAX_RUNS or sum(result.call_ns) <= 0.06e9


def test_memory_grows_from_step_to_step(bundle: Bundle) -> None:
    memory = bench(bundle, min_runs=1, min_seconds=0).memory_bytes
    assert set(memory) == {"before", "loaded", "first_invoke", "peak"}
    assert memory["peak"] is not None
    assert all(value is not None and 1 << 20 < value <= memory["peak"] for value in memory.values())


def test_data_is_scored_where_it_has_labels(bundle: Bundle, tmp_path: Path) -> None:
    texts = np.array(["lights on", "lights off"])
    np.savez(tmp_path / "labelled.npz", texts=texts, y=np.array([0, 0]))
    np.savez(tmp_path / "plain.npz", texts=texts)
    score = bench(bundle, min_runs=1, min_seconds=0, data=tmp_path / "labelled.npz").score
    assert score is not None
    assert (score.value, score.count) == (0.5, 2)
    assert bench(bundle, min_runs=1, min_seconds=0, data=tmp_path / "plain.npz").score is None


def test_missing_data_is_found_before_the_timing(bundle: Bundle, tmp_path: Path) -> None:
    seen: list[str] = []
    with pytest.raises(InputError, match="no file"):
        bench(bundle, data=tmp_path / "absent.npz", progress=lambda done, total, what: seen.append(what))
    assert seen == []


def test_progress_comes_to_its_end(bundle: Bundle, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", texts=np.array(["on"] * 3), y=np.zeros(3, int))
    seen: list[tuple[int, int, str]] = []
    bench(
        bundle,
        min_runs=1,
        min_seconds=0.25,
        data=tmp_path / "d.npz",
        progress=lambda *step: seen.append(step),
    )
    timing = [step for step in seen if step[2] == "bench"]
    assert timing[-1] == (100, 100, "bench")
    assert [done for done, _, _ in timing] == sorted(done for done, _, _ in timing)
    assert seen[-1] == (3, 3, "score")


@pytest.mark.parametrize(("min_runs", "min_seconds"), [(0, 1), (MAX_RUNS + 1, 1), (1, -1), (1, float("nan"))])
def test_a_bench_without_end_or_beginning_is_refused(bundle: Bundle, min_runs: int, min_seconds: float) -> None:
    with pytest.raises(InputError, match="A bench takes"):
        bench(bundle, min_runs=min_runs, min_seconds=min_seconds)
