"""The checks before a model is activated."""

from pathlib import Path

import numpy as np
import pytest
from unit.models import FlatbufferBuilder, tiny_bundle, tiny_text_model, write_bundle

from edgewright_runtime.bundle import Bundle, write_archive
from edgewright_runtime.check import check_budget, check_golden
from edgewright_runtime.errors import BundleError, CheckError
from edgewright_runtime.manifest import Budget
from edgewright_runtime.model import load_model


@pytest.mark.parametrize("kind", ["text", "float32", "int8"])
def test_a_good_model_passes(tmp_path: Path, kind: str) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "x.ewb", kind=kind))
    with load_model(bundle) as engine:
        (outcome,) = check_golden(engine, bundle)
    assert (outcome["output"], outcome["samples"]) == ("probabilities", 3)
    assert 0 <= outcome["max_difference"] <= outcome["atol"]


@pytest.mark.parametrize("error", [0.01, -0.5, float("nan"), float("inf")])
def test_a_model_that_answers_otherwise_fails(tmp_path: Path, error: float) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "x.ewb", golden_error=error))
    with load_model(bundle) as engine, pytest.raises(CheckError, match=r"probabilities differs by .*0\.001 is allowed"):
        check_golden(engine, bundle)


def test_int8_is_compared_in_real_units(tmp_path: Path) -> None:
    for steps, passes in ((1, True), (3, False)):  # of 1/256 each; 2/256 are allowed
        bundle = Bundle.open(tiny_bundle(tmp_path / "x.ewb", kind="int8", golden_error=steps))
        with load_model(bundle) as engine:
            if passes:
                assert check_golden(engine, bundle)[0]["max_difference"] == pytest.approx(1 / 256)
            else:
                with pytest.raises(CheckError, match=r"differs by 0\.0117"):
                    check_golden(engine, bundle)


def test_nan_and_infinity_agree_with_their_like(tmp_path: Path) -> None:
    graph = FlatbufferBuilder()
    x, y = graph.tensor("x", (1, 3)), graph.tensor("y", (1, 3))
    graph.operator("LOG", 1, [x], y)
    samples = np.array([[[-1, 0, 1]]], np.float32)
    bundle = Bundle.open(write_bundle(tmp_path / "x.ewb", graph.build({"x": x}, {"y": y}), [samples]))
    with load_model(bundle) as engine:
        assert check_golden(engine, bundle)[0]["max_difference"] == 0


def test_a_budget_is_measured(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "x.ewb", budget=Budget(latency_ms=10_000, memory_mb=1e6)))
    with load_model(bundle) as engine:
        found = check_budget(engine, bundle)
    assert 0 < found["latency_ms"] < found["latency_limit_ms"] == 10_000
    assert 10 < found["memory_mb"] < found["memory_limit_mb"] == 1e6


@pytest.mark.parametrize(
    ("budget", "message"),
    [(Budget(latency_ms=1e-6), "median latency .* budget is 1e-06 ms"), (Budget(memory_mb=1), "peak memory .* 1 MB")],
)
def test_a_budget_that_is_exceeded_fails(tmp_path: Path, budget: Budget, message: str) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "x.ewb", budget=budget))
    with load_model(bundle) as engine, pytest.raises(CheckError, match=message):
        check_budget(engine, bundle)


def test_a_manifest_that_describes_another_model_is_refused(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "x.ewb"))
    variant = bundle.manifest.variant()
    renamed = variant._replace(inputs=(variant.inputs[0]._replace(name="ids"),))
    files = {entry.path: bundle.read(entry.path) for entry in bundle.manifest.files}
    write_archive(bundle.manifest._replace(variants=(renamed,)), files, tmp_path / "y.ewb")
    with pytest.raises(BundleError, match=r"as ids int32\[1, 8\], the model has tokens int32\[1, 8\]"):
        load_model(Bundle.open(tmp_path / "y.ewb"))


def test_a_damaged_model_is_not_loaded(tmp_path: Path) -> None:
    path = tiny_bundle(tmp_path / "x.ewb")
    bundle = Bundle.open(path)
    data = path.read_bytes()
    start = data.index(tiny_text_model())
    path.write_bytes(data[: start + 900] + bytes([data[start + 900] ^ 4]) + data[start + 901 :])
    with pytest.raises(BundleError, match="damaged"):
        load_model(bundle)
