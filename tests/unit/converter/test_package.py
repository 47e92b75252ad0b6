import dataclasses
import zipfile
from pathlib import Path

import numpy as np
from unit.models import LABELS, tiny_model, tiny_tokenizer

from edgewright_converter import check
from edgewright_converter.job import Finished, Request
from edgewright_converter.outcome import Outcome, Skipped
from edgewright_converter.package import write_bundle
from edgewright_converter.recipe import Budgets, Recipe
from edgewright_converter.targets import get_target
from edgewright_runtime.bundle import Bundle

REQUEST = Request(
    source="somewhere/model.keras",
    data=None,
    recipe=Recipe("mine", budget=Budgets(latency_ms=20, memory_mb=100)),
    target=get_target("rpi4"),
    batch=1,
    shapes={},
    labels=tuple(LABELS),
    tokenizer=tiny_tokenizer(),
    trust=False,
    seed=0,
)


def finished() -> Finished:
    model = tiny_model()
    with check.engine_for(model) as engine:
        golden = check.golden(model, engine, ("x",), (np.eye(4, dtype=np.float32),), "float32")
        return Finished(
            model=model,
            min_runtime=None,
            inputs=engine.inputs,
            outputs=engine.outputs,
            golden=golden,
            difference=1e-7,
            outcomes=(Outcome("quantize", {"mode": "float32"}, 60, 60, 0.5, 0.5, (Skipped("a", "b"),)),),
            versions={"edgewright": "0"},
            seconds={"convert": 1.5},
        )


def test_a_bundle_holds_everything_and_opens(tmp_path: Path) -> None:
    manifest = write_bundle(finished(), REQUEST, "tiny", "ab" * 32, tmp_path / "tiny.ewb")
    bundle = Bundle.open(tmp_path / "tiny.ewb")
    bundle.verify()
    assert bundle.manifest == manifest
    assert bundle.labels() == LABELS
    tokenizer = bundle.tokenizer()
    assert tokenizer is not None
    assert tokenizer.to_json() == tiny_tokenizer()
    inputs, outputs = bundle.golden()
    assert inputs[0].shape == (4, 1, 4)
    assert outputs[0].shape == (4, 1, 3)
    variant = manifest.variant()
    assert (variant.mode, variant.min_runtime) == ("float32", "")
    assert (manifest.budget.latency_ms, manifest.budget.memory_mb) == (20, 100)
    assert manifest.provenance["target"] == "rpi4"
    assert [Outcome.from_dict(entry) for entry in manifest.provenance["outcomes"]] == list(finished().outcomes)


def test_same_content_same_bytes_wherever_and_however_long(tmp_path: Path) -> None:
    slower = dataclasses.replace(finished(), seconds={"convert": 99.0})
    elsewhere = dataclasses.replace(REQUEST, source="elsewhere/model.keras")
    write_bundle(finished(), REQUEST, "tiny", "ab" * 32, tmp_path / "a.ewb")
    write_bundle(slower, elsewhere, "tiny", "ab" * 32, tmp_path / "b.ewb")
    assert (tmp_path / "a.ewb").read_bytes() == (tmp_path / "b.ewb").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.ewb") as archive:
        assert b"somewhere" not in b"".join(archive.read(name) for name in archive.namelist())


def test_labels_and_tokenizer_are_optional(tmp_path: Path) -> None:
    request = dataclasses.replace(REQUEST, labels=None, tokenizer=None)
    write_bundle(finished(), request, "tiny", "ab" * 32, tmp_path / "tiny.ewb")
    bundle = Bundle.open(tmp_path / "tiny.ewb")
    assert bundle.labels() is None
    assert bundle.tokenizer() is None
