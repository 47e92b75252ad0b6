"""``python -m edgewright_runtime``: one JSON document on stdout and an exit code, whatever happens."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.models import FlatbufferBuilder, tiny_bundle, write_bundle

from edgewright_runtime.__main__ import execute
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.request import pack_request


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path / "tiny.ewb")


def _execute(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any], str]:
    """(exit code, the document, stderr)."""
    exit_code = execute([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert out.count("\n") == 1
    assert document["schema"] == 1
    return exit_code, document, err


def _failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, the error's name, its message)."""
    exit_code, document, _ = _execute(capsys, *arguments)
    assert set(document) == {"schema", "kind", "error", "message"}
    assert document["kind"] == "error"
    assert re.match(r"[^\n]+\.\Z", document["message"])
    return exit_code, document["error"], document["message"]


def test_info(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    exit_code, document, _ = _execute(capsys, "info", "--home", tmp_path)
    assert (exit_code, document["kind"]) == (0, "info")
    assert set(document) == {"schema", "kind", "runtime", "engines", "board", "state", "home"}
    assert document["engines"]["litert"]
    assert document["home"]["free_bytes"] > 0


def test_verify(capsys: pytest.CaptureFixture[str], bundle: Path) -> None:
    exit_code, document, _ = _execute(capsys, "verify", bundle)
    assert (exit_code, document["kind"], document["budget"]) == (0, "verify", None)
    assert document["bundle"] == {"id": Bundle.open(bundle).id, "name": "tiny"}
    assert document["golden"][0]["samples"] == 3
    _, document, _ = _execute(capsys, "verify", bundle, "--budget")
    assert document["budget"]["latency_ms"] > 0


def test_run_a_sentence(capsys: pytest.CaptureFixture[str], bundle: Path) -> None:
    exit_code, document, _ = _execute(capsys, "run", bundle, "--text", "Lights OFF!", "--top", 2)
    assert (exit_code, document["kind"]) == (0, "run")
    assert document["labels"][0]["label"] == "lights_off"
    assert len(document["labels"]) == 2
    assert document["labels"][0]["probability"] > 0.9


def test_run_arrays(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tiny_bundle(tmp_path / "int8.ewb", kind="int8")
    np.savez(tmp_path / "in.npz", x=np.array([0, 2, 0, 0], np.float32))
    exit_code, document, _ = _execute(capsys, "run", path, "--inputs", tmp_path / "in.npz")
    (output,) = document["outputs"]
    assert (exit_code, output["name"], output["shape"], output["dtype"]) == (0, "probabilities", [1, 3], "float32")
    assert output["values"][0][1] == pytest.approx(1, abs=0.02)


def test_bench_with_progress(capsys: pytest.CaptureFixture[str], bundle: Path) -> None:
    arguments = ("--min-runs", 5, "--min-seconds", 0.01, "--progress", "--threads", 2)
    exit_code, document, err = _execute(capsys, "bench", bundle, *arguments)
    (result,) = document["results"]
    assert (exit_code, document["kind"], result["engine"]["threads"]) == (0, "bench", 2)
    assert len(result["latency_ns"]) >= 5
    assert [json.loads(line) for line in err.splitlines()][-1] == {"done": 100, "total": 100, "what": "bench"}


def test_a_model_by_its_name_after_flashing(
    capsys: pytest.CaptureFixture[str], bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, opened = tmp_path / "home", Bundle.open(bundle)

    def answer(stdin: bytes, *arguments: object) -> dict[str, Any]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        exit_code, document, _ = _execute(capsys, *arguments, "--home", home)
        assert exit_code == 0, document
        return document

    everything = [entry.sha256 for entry in opened.manifest.files]
    assert answer(pack_request(opened.manifest_bytes), "store-flash")["missing"] == everything
    opened.extract(home / "incoming")
    flashed = answer(pack_request(opened.manifest_bytes), "store-flash")
    assert (flashed["id"], flashed["name"], flashed["previous"]) == (opened.id, "tiny", None)
    assert (flashed["engine"], flashed["budget"], len(flashed["golden"])) == ("litert", None, 1)
    assert answer(b"", "store-list")["models"][0]["current"] == opened.id
    assert answer(b"", "run", "tiny", "--text", "weather")["labels"][0]["label"] == "weather"
    assert answer(b"", "info")["home"]["models"][0]["name"] == "tiny"
    assert _failure(capsys, "store-rollback", "tiny", "--home", home)[:2] == (3, "InputError")
    assert answer(b"", "store-gc")["removed"] == []


def test_a_release_beside_the_one_in_use(
    capsys: pytest.CaptureFixture[str], bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Bundle.open(bundle)
    request = pack_request(opened.manifest_bytes, [opened.read(entry.path) for entry in opened.manifest.files])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(request)))
    _, installed, err = _execute(capsys, "store-install", "--home", tmp_path / "home", "--progress")
    assert (installed["missing"], Bundle.open(installed["path"]).id) == ([], opened.id)
    assert err == ""
    (model,) = _execute(capsys, "store-list", "--home", tmp_path / "home")[1]["models"]
    assert (model["current"], len(model["releases"])) == (None, 1)


@pytest.mark.parametrize("kind", ["flash", "install"])
def test_standard_input_that_is_no_request(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"nonsense")))
    assert _failure(capsys, f"store-{kind}", "--home", tmp_path / "home")[:2] == (3, "InputError")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["run"],
        ["run", "x"],
        ["run", "x", "--text", "a", "--inputs", "b"],
        ["bench", "x", "--min-runs", "many"],
        ["verify", "x", "--fast"],
        ["verify", "x", "--bud"],
        ["store-rollback", "--home", "x"],
        ["store-list"],
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert _failure(capsys, *arguments)[:2] == (2, "UsageError")


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["run", "--help"], ["store-rollback", "--help"]):
        with pytest.raises(SystemExit) as left:
            execute(arguments)
        assert left.value.code == 0
    out = capsys.readouterr().out
    for command in ("info", "verify", "run", "bench", "store-flash", "store-install", "store-gc"):
        assert command in out


def test_errors_and_their_exit_codes(capsys: pytest.CaptureFixture[str], bundle: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.ewb"
    damaged.write_bytes(bundle.read_bytes()[:-1])
    wrong = tiny_bundle(tmp_path / "wrong.ewb", golden_error=0.5)
    dense = tiny_bundle(tmp_path / "dense.ewb", kind="float32")
    np.savez(tmp_path / "y.npz", y=np.zeros(3))
    for arguments, expected in (
        (["verify", tmp_path / "absent.ewb"], (3, "InputError")),
        (["verify", damaged], (6, "BundleError")),
        (["verify", wrong], (9, "CheckError")),
        (["verify", bundle, "--engine", "tpu"], (3, "InputError")),
        (["run", dense, "--text", "a"], (3, "InputError")),
        (["run", bundle, "--text", "a", "--top", 0], (3, "InputError")),
        (["run", dense, "--inputs", tmp_path / "y.npz"], (3, "InputError")),
        (["run", dense, "--inputs", tmp_path], (3, "InputError")),
        (["bench", bundle, "--min-runs", 0], (3, "InputError")),
        (["info", "--home", tmp_path / "absent"], (3, "InputError")),
        (["run", "tiny", "--home", tmp_path, "--text", "a"], (3, "InputError")),
    ):
        assert _failure(capsys, *arguments)[:2] == expected, arguments


def test_an_answer_that_json_has_no_word_for(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    graph = FlatbufferBuilder()
    x, y = graph.tensor("x", (1, 1)), graph.tensor("y", (1, 1))
    graph.operator("LOG", 1, [x], y)
    path = write_bundle(tmp_path / "log.ewb", graph.build({"x": x}, {"y": y}), [np.ones((1, 1, 1), np.float32)])
    np.savez(tmp_path / "in.npz", x=np.array([[0]], np.float32))
    exit_code, error, message = _failure(capsys, "run", path, "--inputs", tmp_path / "in.npz")
    assert (exit_code, error) == (7, "EngineError")
    assert "infinity" in message


def test_a_defect_is_one_sentence_and_with_debug_a_traceback(
    capsys: pytest.CaptureFixture[str], bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(_: Bundle) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(Bundle, "verify", defect)
    exit_code, document, err = _execute(capsys, "verify", bundle)
    assert (exit_code, document["error"], err) == (1, "EdgewrightError", "")
    assert "ZeroDivisionError: of ours" in document["message"]
    _, _, err = _execute(capsys, "verify", bundle, "--debug")
    assert err.startswith("Traceback")
    assert "of ours" in err


def test_a_process_says_nothing_but_its_document(bundle: Path, tmp_path: Path) -> None:
    """As on a device: the package in a folder, started by the folder's __main__, in a bare environment."""
    folder = tmp_path / "runtime"
    shutil.copytree(Path(sys.modules["edgewright_runtime"].__path__[0]), folder / "edgewright_runtime")
    (folder / "__main__.py").write_text("import sys\nfrom edgewright_runtime.__main__ import main\nsys.exit(main())\n")
    text = "ലൈറ്റ് on ".encode() + b"\xff"
    done = subprocess.run([sys.executable, folder, "run", bundle, "--text", text], capture_output=True, env={})
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["labels"][0]["label"] == "lights_on"
    assert done.stdout.isascii()


def test_ctrl_c(bundle: Path) -> None:
    command = [sys.executable, "-m", "edgewright_runtime", "bench", str(bundle), "--min-seconds", "60", "--progress"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["what"] == "bench"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, b"")
    assert all(json.loads(line)["what"] == "bench" for line in err.splitlines())


def test_a_reader_that_went_away(bundle: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "edgewright_runtime", "verify", str(bundle)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (10, b"")
