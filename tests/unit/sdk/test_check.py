"""The doctor as a user meets it: files, bundles, targets, devices."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from unit.models import (
    LABELS,
    WORDS,
    tiny_bundle,
    tiny_model,
    tiny_text_model,
    wide_model,
    words_tokenizer,
    write_bundle,
)
from unit.sdk.results import bench_result
from unit.sdk.test_probe import BOARDS, _read

from edgewright.check import Report, check
from edgewright.cli.main import cli
from edgewright.errors import DeviceError, InputError, RecipeError
from edgewright.history import Entry, _entries, estimate, remember
from edgewright.profiles import target_of
from edgewright.remote import Remote
from edgewright.repair import repair
from edgewright_converter.doctor import ERROR, NOTE, WARNING
from edgewright_converter.flatbuffer import read
from edgewright_converter.targets import TARGETS, get_target
from edgewright_runtime.bundle import Bundle, write_archive
from edgewright_runtime.hashing import sha256_hex
from edgewright_runtime.manifest import Budget, Encoder, FileEntry


def said(report: Report, severity: str | None = None) -> list[str]:
    return [str(finding) for finding in report.findings if severity in (None, finding.severity)]


def test_a_good_bundle(tmp_path: Path) -> None:
    report = check(tiny_bundle(tmp_path / "tiny.ewb"), target="rpi4")
    assert report.errors == ()
    assert said(report, WARNING) == []
    assert said(report, NOTE)[0].startswith("memory: about 42.")


def test_the_tokenizer_is_told_and_must_fit(tmp_path: Path) -> None:
    report = check(tiny_bundle(tmp_path / "tiny.ewb"), target="rpi4")
    assert "tokenizer: words, 11 ids, texts of 8 ids, the head of longer ones" in said(report, NOTE)
    tokens = [np.zeros((1, 1, 8), np.int32)]
    extra = {"tokenizer": words_tokenizer(WORDS, 9, pooling="max").to_json()}
    (error,) = check(write_bundle(tmp_path / "x.ewb", tiny_text_model(), tokens, extra), target="rpi4").errors
    assert str(error).startswith("tokenizer: it gives 9 ids, the model takes [1, 8]: ")


@pytest.mark.parametrize("sound", [True, False])
def test_the_graph_that_reads_a_source_is_looked_into(tmp_path: Path, sound: bool) -> None:
    given = Bundle.open(tiny_bundle(tmp_path / "tiny.ewb"))
    files = {entry.path: given.read(entry.path) for entry in given.manifest.files}
    files["encoder.tflite"] = files["model.tflite"] if sound else b"no flatbuffer"
    entry = FileEntry("encoder.tflite", len(files["encoder.tflite"]), sha256_hex(files["encoder.tflite"]))
    manifest = given.manifest._replace(
        files=(*given.manifest.files, entry),
        encoder=Encoder(given.manifest.variant()._replace(path="encoder.tflite"), given.manifest.golden),
    )
    write_archive(manifest, files, tmp_path / "translator.ewb")
    report = check(tmp_path / "translator.ewb", target="rpi4")
    assert any(line.startswith("encoder.tflite, ") for line in said(report, NOTE if sound else ERROR))
    assert bool(report.errors) is not sound


def test_a_bundle_is_checked_for_what_it_was_made_for(tmp_path: Path) -> None:
    path = tiny_bundle(tmp_path / "tiny.ewb", provenance={"target": "rpi-zero2-bullseye"})
    assert check(path).target == get_target("rpi-zero2-bullseye")
    assert check(tiny_bundle(tmp_path / "b.ewb", provenance={"target": "/gone/board.toml"})).target.name == "local"


def test_a_flipped_bit_is_a_finding(tmp_path: Path) -> None:
    path = tiny_bundle(tmp_path / "tiny.ewb")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    (finding,) = check(path, target="rpi4").errors
    assert (finding.severity, finding.check, finding.where) == (ERROR, "integrity", "the bundle")
    assert finding.remedy


@pytest.mark.parametrize("cut", [0, 10, 500])
def test_a_bundle_cut_short_is_a_finding(tmp_path: Path, cut: int) -> None:
    path = tiny_bundle(tmp_path / "tiny.ewb")
    path.write_bytes(path.read_bytes()[:cut])
    assert [finding.check for finding in check(path, target="rpi4").errors] == ["integrity"]


def test_a_manifest_that_tells_another_model(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "tiny.ewb", kind="float32"))
    (variant,) = bundle.manifest.variants
    renamed = variant._replace(inputs=(variant.inputs[0]._replace(name="image"),))
    files: dict[str, Any] = {entry.path: bundle.read(entry.path) for entry in bundle.manifest.files}
    write_archive(bundle.manifest._replace(variants=(renamed,)), files, tmp_path / "other.ewb")
    (finding,) = check(tmp_path / "other.ewb", target="rpi4").errors
    assert finding.problem == "the manifest says input image float32[1, 4], the model has x float32[1, 4]"


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    samples = [np.zeros((2, 1, 8), np.int32)]
    labels = json.dumps([*LABELS, "one too many"]).encode()
    path = write_bundle(tmp_path / "a.ewb", tiny_text_model(), samples, {"labels": labels})
    assert said(check(path, target="rpi4"), WARNING) == [
        "labels: there are 4 labels for an output of [1, 3]: convert again with the right --labels"
    ]


def test_a_budget_of_memory_that_cannot_be_kept(tmp_path: Path) -> None:
    path = tiny_bundle(tmp_path / "a.ewb", budget=Budget(memory_mb=20))
    (warning,) = said(check(path, target="rpi4"), WARNING)
    assert "the bundle's budget is 20 MB" in warning


@pytest.mark.parametrize("name", TARGETS)
def test_only_one_kind_of_target_has_no_engine(name: str, tmp_path: Path) -> None:
    """32-bit Trixie has Python 3.13, for which no engine exists there; Mendel's Python is too old."""
    (tmp_path / "a.tflite").write_bytes(tiny_model())
    errors = check(tmp_path / "a.tflite", target=name).errors
    if name.endswith("trixie-32") or name == "coral-devboard":
        assert [finding.check for finding in errors] == ["wheels"]
        assert "install Python 3.9 to 3.11 there" in errors[0].remedy
    else:
        assert errors == ()


@pytest.mark.parametrize("board", BOARDS)
def test_a_probed_board_is_a_target(board: str) -> None:
    probe = _read(board)
    target = target_of("kitchen", probe)
    fits = BOARDS[board]["fits"]
    assert target.engine == (fits["engine"] if fits else "tflite")
    assert target.machine == (probe.machine_of(probe.pythons[0]) if probe.pythons else probe.architecture)
    assert target.memory_mb == (None if probe.memory_bytes is None else round(probe.memory_bytes / 1e6))
    assert set(target.sources) <= set(asdict(target))


def test_an_edge_tpu_is_seen(tmp_path: Path) -> None:
    probe = replace(_read("rpi4-32bit-on-64bit-kernel"), edgetpu="usb")
    assert target_of("kitchen", probe).edgetpu


def test_a_device_is_checked_as_it_is(kitchen: Remote, tmp_path: Path) -> None:
    (tmp_path / "new.tflite").write_bytes(tiny_model(dense_version=12))
    assert check(tmp_path / "new.tflite", device=kitchen, engine="litert").errors == ()
    report = check(tmp_path / "new.tflite", device=kitchen, engine="tflite")
    assert [finding.check for finding in report.errors][:1] == ["operator"]
    assert report.target.name == "kitchen"


def test_what_cannot_be_asked(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(tiny_model())
    with pytest.raises(InputError, match="Cannot read"):
        check(tmp_path / "missing.tflite", target="rpi4")
    with pytest.raises(InputError, match="There is no bundle"):
        check(tmp_path / "missing.ewb", target="rpi4")
    with pytest.raises(InputError, match="is a folder without"):
        check(tmp_path, target="rpi4")
    with pytest.raises(InputError, match="No engine is called onnx"):
        check(tmp_path / "a.tflite", target="rpi4", engine="onnx")
    with pytest.raises(RecipeError, match="did you mean 'rpi4'"):
        check(tmp_path / "a.tflite", target="rpi-4")
    with pytest.raises(DeviceError, match="No device is called"):
        check(tmp_path / "a.tflite", device="attic")


# History


def _remembered(path: Path, p50_ns: int, device: str = "kitchen") -> None:
    bundle = Bundle.open(path)
    board = {"model": "Raspberry Pi 4 Model B Rev 1.4", "cpu": "Cortex-A72"}
    result = bench_result()
    result = replace(
        result,
        latency_ns=[p50_ns] * 5,
        bundle={**result.bundle, "id": bundle.id},
        engine={"name": "litert", "version": "2.3.0", "threads": 1},
        environment={**result.environment, "board": board},
    )
    remember([path], [result], device)


def _wide(path: Path, layers: int, width: int, budget: Budget | None = None) -> Path:
    return write_bundle(path, wide_model(layers, width), [np.ones((2, 1, width), np.float32)], budget=budget)


def test_a_latency_measured_there_is_told(tmp_path: Path) -> None:
    path = _wide(tmp_path / "wide.ewb", 4, 64)
    _remembered(path, 2_000_000)
    assert "latency: the median will be 2 ms (as measured there)" in said(check(path, target="rpi4"), NOTE)
    assert not [line for line in said(check(path, target="rpi5")) if line.startswith("latency")]


def test_a_latency_is_estimated_from_other_models(tmp_path: Path) -> None:
    for layers, p50_ns in ((4, 1_000_000), (8, 2_000_000)):
        _remembered(_wide(tmp_path / f"{layers}.ewb", layers, 64), p50_ns)
    new = _wide(tmp_path / "new.ewb", 16, 64, Budget(latency_ms=1))
    flatbuffer = read(Bundle.open(new).read("model.tflite"))
    found = estimate(flatbuffer, None, get_target("rpi4"))
    assert found is not None
    assert (found.low_ms, found.high_ms, found.results, found.measured) == (4.0, 4.0, 2, False)
    (warning,) = said(check(new, target="rpi4"), WARNING)
    assert (
        "the median will be 4 to 4 ms (estimated from 2 results of other models there), the budget is 1 ms" in warning
    )


def test_history_that_is_damaged_or_unwritable_hurts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _wide(tmp_path / "wide.ewb", 4, 64)
    _remembered(path, 1000)
    file = tmp_path / "data" / "history.jsonl"
    file.write_text('{"half": \n' + file.read_text() + '{"device": 1}\n')
    assert [entry.p50_ns for entry in _entries()] == [1000]
    assert isinstance(_entries()[0], Entry)
    (tmp_path / "no").write_text("")
    monkeypatch.setenv("EDGEWRIGHT_DATA_HOME", str(tmp_path / "no" / "folder"))
    _remembered(path, 1000)
    assert _entries() == []


# The command line


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_the_command_tells_and_ends_with_its_code(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(tiny_model(dense_version=12))
    good = run("check", tmp_path / "a.tflite", "--target", "rpi4")
    assert (good.exit_code, "will run on rpi4 with litert" in good.stdout) == (0, True)
    bad = run("check", tmp_path / "a.tflite", "--target", "rpi4-bullseye")
    assert bad.exit_code == 9
    assert "error   FULLY_CONNECTED in logits: version 12 is needed" in bad.stdout
    assert "→ convert with --target rpi4-bullseye" in bad.stdout
    document = json.loads(run("check", tmp_path / "a.tflite", "--target", "rpi4-bullseye", "--json").stdout)
    assert (document["kind"], document["runs"], document["errors"]) == ("check", False, 1)
    assert set(document["findings"][0]) == {"severity", "check", "where", "problem", "remedy"}


def test_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(tiny_model())
    assert run("check", tmp_path / "a.tflite", "--target", "rpi4", "--device", "kitchen").exit_code == 2
    assert run("check", tmp_path / "a.tflite", "--source", "model.keras").exit_code == 2


def test_targets_are_listed_and_shown(tmp_path: Path) -> None:
    listed = run("device", "targets")
    assert all(name in listed.stdout for name in TARGETS)
    shown = run("device", "targets", "rpi4").stdout
    (tmp_path / "mine.toml").write_text(shown)
    assert get_target(str(tmp_path / "mine.toml")) == get_target("rpi4")
    assert len(json.loads(run("device", "targets", "--json").stdout)["targets"]) == len(TARGETS)


def test_a_probe_writes_a_target(tmp_path: Path) -> None:
    run("device", "add", "kitchen", f"local:{tmp_path / 'home'}")
    assert run("device", "probe", "kitchen", "-o", tmp_path / "kitchen.json").exit_code == 2
    assert run("device", "probe", "kitchen", "-o", tmp_path / "kitchen.toml").exit_code == 0
    assert get_target(str(tmp_path / "kitchen.toml")).name == "kitchen"


# Repair


def test_without_the_source_nothing_is_repaired(tmp_path: Path) -> None:
    path = tiny_bundle(tmp_path / "a.ewb", provenance={"source_sha256": "ab" * 32, "recipe": {}})
    with pytest.raises(InputError, match=r"is not beside it: name it with --source"):
        repair(check(path, target="rpi4"))
    (tmp_path / "other.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(InputError, match=r"is not the model that .* was made of"):
        repair(check(path, target="rpi4"), source=str(tmp_path / "other.h5"))
    (tmp_path / "a.tflite").write_bytes(tiny_model())
    with pytest.raises(InputError, match="says nothing of what it was made from"):
        repair(check(tmp_path / "a.tflite", target="rpi4"))


@pytest.mark.slow
def test_a_bundle_is_repaired_for_another_board(tmp_path: Path) -> None:
    import keras

    from edgewright_converter.pipeline import convert

    keras.utils.set_random_seed(1)
    x = keras.Input((8,), name="x")
    y = keras.layers.Dense(64, activation="relu", name="wide")(keras.layers.Dense(64, activation="relu")(x))
    keras.Model(x, keras.layers.Dense(3)(y)).save(tmp_path / "m.keras")
    made = convert(str(tmp_path / "m.keras"), recipe="dynamic-int8", output=tmp_path / "m.ewb").path
    broken = check(made, target="rpi4-bullseye-32")
    assert [finding.where for finding in broken.errors] == ["FULLY_CONNECTED in the graph"]  # its names are stripped
    done = run("check", made, "--target", "rpi4-bullseye-32", "--fix", "-o", tmp_path / "fixed.ewb")
    assert done.exit_code == 0, done.output
    fixed = Bundle.open(tmp_path / "fixed.ewb")
    assert fixed.manifest.provenance["target"] == "rpi4-bullseye-32"
    assert fixed.manifest.provenance["recipe"] == Bundle.open(made).manifest.provenance["recipe"]
    assert check(tmp_path / "fixed.ewb").errors == ()
