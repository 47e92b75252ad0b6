"""Bench: raw samples, in the promised number and order, and what surrounds them."""

import os
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.models import tiny_bundle, wide_model, write_bundle

from edgewright_runtime import conductor
from edgewright_runtime.bench import bench
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.errors import EngineError, InputError
from edgewright_runtime.limits import MAX_RUNS
from edgewright_runtime.plan import Plan
from edgewright_runtime.predict import pack_pieces
from edgewright_runtime.result import BenchResult


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path / "tiny.ewb"))


def _bench(bundle: Bundle, data: Path | None = None, **plan: Any) -> BenchResult:
    (result,) = bench([bundle], Plan(**{"min_runs": 8, "min_seconds": 0, **plan}), [data])
    return result


def test_a_result_holds_every_sample(bundle: Bundle) -> None:
    result = _bench(bundle, min_runs=30)
    assert len(result.latency_ns) == len(result.call_ns) == len(result.at_ns) == 32  # 4 blocks of at least 7.5
    assert all(0 < run < call for run, call in zip(result.latency_ns, result.call_ns, strict=True))
    assert result.at_ns == sorted(result.at_ns)
    assert all(
        now + run <= then for (now, then), run in zip(pairwise(result.at_ns), result.latency_ns[:-1], strict=True)
    )
    assert result.at_ns[0] > 0
    assert len(result.warmup_ns) >= 30
    assert set(result.startup_ns) == {"interpreter", "import", "load", "allocate", "first_invoke"}
    assert all(len(parts) == 1 and parts[0] > 0 for parts in result.startup_ns.values())
    assert [block["round"] for block in result.blocks] == [0, 1, 2, 3]
    assert result.environment["during"]
    assert (result.score, result.throughput, result.profile, result.energy) == (None, [], None, None)
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
    result = _bench(bundle, min_runs=1, min_seconds=0.08)
    first, last = result.at_ns[0], result.at_ns[-1] + result.call_ns[-1]
    assert len(result.latency_ns) <= MAX_RUNS
    assert last - first >= 0.07e9 or len(result.latency_ns) == MAX_RUNS


def test_memory_grows_from_step_to_step(bundle: Bundle) -> None:
    result = _bench(bundle)
    steps = [result.memory_bytes[step] for step in ("interpreter", "imported", "allocated")]
    assert all(step is not None and step > 1 << 20 for step in steps)
    assert steps == sorted(steps, key=lambda step: step or 0)
    peak, harness = result.memory_bytes["peak"], result.memory_bytes["harness"]
    assert peak is not None
    assert harness is not None
    assert 0 < harness < 4 << 20  # its modules and 8 bytes for each of three numbers
    assert result.memory_of("peak") == peak - harness
    assert set(result.pss_bytes) == {"allocated", "first_invoke", "last_invoke"}


def test_several_models_take_turns_in_an_order_that_the_seed_decides(bundle: Bundle, tmp_path: Path) -> None:
    other = Bundle.open(tiny_bundle(tmp_path / "other.ewb", name="other", seed=1))
    orders = []
    for seed in (1, 1, 2):
        results = bench([bundle, other], Plan(min_runs=8, min_seconds=0, launches=1, seed=seed))
        assert [result.bundle["name"] for result in results] == ["tiny", "other"]
        assert len({result.session for result in results}) == 1
        # By the beginnings of the blocks: no block of one model begins before the other's has ended.
        spans = []
        for result in results:
            start = 0
            for block in result.blocks:
                end = start + block["runs"] - 1
                name, ended = result.bundle["name"], result.at_ns[end] + result.latency_ns[end]
                spans.append((result.at_ns[start], ended, name, block["launch"], block["round"]))
                start = end + 1
        spans.sort()
        assert all(one[1] <= two[0] for one, two in pairwise(spans))
        turns = [span[3:] for span in spans]
        assert turns == sorted(turns)
        assert len(turns) == 24
        orders.append([span[2] for span in spans])
    assert orders[0] == orders[1] != orders[2]


def test_each_launch_is_a_process_of_its_own(bundle: Bundle) -> None:
    result = _bench(bundle, launches=3)
    assert {step: len(times) for step, times in result.startup_ns.items()} == dict.fromkeys(result.startup_ns, 3)
    assert [block["launch"] for block in result.blocks] == [0] * 4 + [1] * 4 + [2] * 4


def test_how_often_a_model_is_started() -> None:
    assert [Plan().launched(models) for models in (1, 2, 5)] == [1, 16, 16]
    assert Plan(launches=3).launched(2) == 3
    for plan, models in ((Plan(), 1), (Plan(min_runs=7, launches=3), 1), (Plan(min_seconds=10), 1), (Plan(), 2)):
        (blocks, runs, ns), launches = plan.blocks(models), plan.launched(models)
        assert blocks >= (4 if models == 1 else 12)
        assert launches * blocks * runs >= plan.min_runs
        assert launches * blocks * (ns + 1) + launches >= plan.min_seconds * 1e9
    assert Plan(min_runs=1, single_stream=True).blocks(1)[1] * 4 >= 64


def _texts(*texts: bytes) -> dict[str, np.ndarray]:
    return pack_pieces("text", [np.frombuffer(text, np.uint8) for text in texts])


def test_data_is_scored_where_it_has_labels(bundle: Bundle, tmp_path: Path) -> None:
    texts = _texts(b"lights on", b"lights off")
    np.savez(tmp_path / "labelled.npz", **texts, y=np.array([0, 0]))
    np.savez(tmp_path / "plain.npz", **texts)
    score = _bench(bundle, tmp_path / "labelled.npz", inputs="data").score
    assert score is not None
    assert (score.value, score.count) == (0.5, 2)
    assert _bench(bundle, tmp_path / "plain.npz").score is None


def test_throughput_and_profile(tmp_path: Path) -> None:
    samples = np.zeros((1, 4, 64), np.float32)
    bundle = Bundle.open(write_bundle(tmp_path / "wide.ewb", wide_model(3, 64, 4), [samples]))
    result = _bench(bundle, throughput=2, profile=True, single_stream=True)
    loads = [(load["callers"], load["threads"]) for load in result.throughput]
    assert loads == [(1, 1), (1, 2), (2, 1)]
    assert all(load["per_second"] > 0 and load["p50_ns"] <= load["p90_ns"] for load in result.throughput)
    assert len(result.latency_ns) >= 64
    assert result.profile is not None
    assert result.profile["method"] == "cut graph"
    assert [(part["first"], part["last"]) for part in result.profile["parts"]] == [(0, 0), (1, 1), (2, 2)]
    assert sum(part["ns"] for part in result.profile["parts"]) > 0


def test_a_model_is_bound_to_processors(bundle: Bundle) -> None:
    cpu = min(os.sched_getaffinity(0))
    assert _bench(bundle, cpus=(cpu,)).engine["cpus"] == [cpu]
    with pytest.raises(InputError, match=r"cannot be bound to the processors 4096: this board lets it use \d"):
        _bench(bundle, cpus=(4096,))


def test_missing_data_is_found_before_the_timing(bundle: Bundle, tmp_path: Path) -> None:
    seen: list[str] = []
    with pytest.raises(InputError, match="no file"):
        bench([bundle], Plan(), [tmp_path / "absent.npz"], lambda done, total, what: seen.append(what))
    with pytest.raises(InputError, match="takes a data set"):
        bench([bundle], Plan(inputs="data"))
    with pytest.raises(InputError, match="one bundle at least"):
        bench([], Plan())
    assert seen == []


def test_progress_comes_to_its_end(bundle: Bundle, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", **_texts(*[b"on"] * 3), y=np.zeros(3, int))
    seen: list[tuple[int, int, str]] = []
    bench([bundle], Plan(min_runs=1, min_seconds=0), [tmp_path / "d.npz"], lambda *step: seen.append(step))
    timing = [step for step in seen if step[2] == "bench"]
    assert timing[-1] == (100, 100, "bench")
    assert [done for done, _, _ in timing] == sorted(done for done, _, _ in timing)
    assert seen[-1] == (3, 3, "score")


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_runs": 0},
        {"min_runs": MAX_RUNS + 1},
        {"min_seconds": -1},
        {"min_seconds": float("nan")},
        {"launches": 0},
        {"inputs": "made up"},
        {"throughput": 1000},
    ],
)
def test_what_a_bench_cannot_do_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"A bench|Throughput"):
        Plan(**wrong)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os; os._exit(3)", "ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 11)", r"crashed on this model \(signal 11\)"),
        ("import os; os.kill(os.getpid(), 9)", "memory of this device was used up"),
    ],
)
def test_a_process_that_ends_early_is_told(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    monkeypatch.setattr(conductor, "_START", program)
    with pytest.raises(EngineError, match=message):
        _bench(bundle)


def test_an_error_of_the_process_is_raised_here(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="no engine nonsense"):
        _bench(bundle, engine="nonsense")
    with pytest.raises(InputError, match="1 to 256 threads"):
        _bench(bundle, threads=0)
