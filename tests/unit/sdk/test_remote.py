"""What the host makes of a runtime's answers, good and bad: a fake device gives them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edgewright import errors
from edgewright.remote import Remote, connect
from edgewright.transports import Answer, FakeTransport

PYTHON = "device-python"


def _remote(folder: Path, answer: Answer) -> Remote:
    return Remote("kitchen", FakeTransport(folder, {PYTHON: answer}), PYTHON)


def _document(**content: Any) -> bytes:
    return json.dumps({"schema": 1, **content}).encode()


def test_a_document_comes_back(tmp_path: Path) -> None:
    assert _remote(tmp_path, Answer(_document(kind="info", a=1))).call("info") == {"schema": 1, "kind": "info", "a": 1}


def test_the_command_is_a_list_of_arguments(tmp_path: Path) -> None:
    remote = _remote(tmp_path, Answer(_document(kind="run")))
    remote.call("run", "a b", remote.home / "x")
    (argv,) = remote.transport.calls  # type: ignore[attr-defined]
    assert argv[:2] == [PYTHON, "-I"]
    assert argv[3:] == ["run", "a b", str(tmp_path / "x")]


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_of_the_device_is_the_same_error_here(tmp_path: Path, name: str) -> None:
    answer = Answer(_document(kind="error", error=name, message="It broke."), returncode=1)
    with pytest.raises(errors.EdgewrightError, match=r"^On kitchen: It broke\.$") as raised:
        _remote(tmp_path, answer).call("info")
    assert type(raised.value) is getattr(errors, name)


def test_an_error_from_a_newer_runtime_is_a_device_error(tmp_path: Path) -> None:
    answer = Answer(_document(kind="error", error="NewError", message="It broke."), returncode=1)
    with pytest.raises(errors.DeviceError, match="It broke"):
        _remote(tmp_path, answer).call("info")


ANSWERS: Mapping[str, tuple[Answer, str]] = {
    "nothing": (Answer(), "gave no answer \\(exit code 0\\): run `edgewright device setup kitchen`"),
    "no JSON": (Answer(b"hello"), "gave no answer"),
    "broken UTF-8": (Answer(b"\xff\xfe"), "gave no answer"),
    "no object": (Answer(b"[1]"), "gave no answer"),
    "no kind": (Answer(b'{"schema": 1}'), "gave no answer"),
    "deep": (Answer(b"[" * 100_000), "gave no answer"),
    "two documents": (Answer(b'{"schema":1,"kind":"a"}{"schema":1,"kind":"a"}'), "gave no answer"),
    "a traceback": (Answer(b"", b"Traceback\nImportError: numpy", 1), "no answer \\(ImportError: numpy\\)"),
    "schema 2": (Answer(b'{"schema": 2, "kind": "info"}'), "answers in schema 2, expected 1"),
    "killed": (Answer(returncode=137), "ended by signal 9.*out of memory"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_that_is_none(tmp_path: Path, what: str) -> None:
    answer, sentence = ANSWERS[what]
    with pytest.raises(errors.DeviceError, match=sentence):
        _remote(tmp_path, answer).call("info")


def test_a_device_without_an_environment(tmp_path: Path) -> None:
    remote = Remote("kitchen", FakeTransport(tmp_path, {}))
    with pytest.raises(errors.DeviceError, match="kitchen is not set up: run `edgewright device setup kitchen`"):
        remote.call("info")


def test_progress_is_told_and_other_talk_is_not(tmp_path: Path) -> None:
    lines = [
        b'{"done": 1, "total": 4, "what": "bench"}',
        b"INFO: something",
        b'{"done": 1, "total": 0, "what": "bench"}',
        b'{"done": 9, "total": 4, "what": "score"}',
        b"[1]",
        b"\xff",
    ]
    told: list[tuple[str, float]] = []
    remote = _remote(tmp_path, Answer(_document(kind="bench"), b"\n".join(lines)))
    remote.call("bench", progress=lambda step, fraction: told.append((step, fraction)))
    assert told == [("bench", 0.25), ("score", 1.0)]


def test_a_real_runtime_answers(kitchen: Remote) -> None:
    info = kitchen.call("info", "--home", kitchen.home)
    assert info["home"]["models"] == []
    assert "litert" in info["engines"]


def test_a_runtime_of_another_version_is_replaced(kitchen: Remote, home: Path) -> None:
    (current,) = (home / "runtimes").iterdir()
    current.rename(home / "runtimes" / ("0" * 64))
    assert kitchen.call("info")["kind"] == "info"
    assert (home / "runtime").resolve() == current


def test_the_runtime_runs_without_its_siblings(kitchen: Remote) -> None:
    """Isolated from this environment: what is imported is what was copied."""
    source = (
        "import sys, runpy\n"
        "sys.argv = ['x', 'info']\n"
        "sys.path.insert(0, sys.argv.pop() and PROGRAM)\n"
        "import edgewright_runtime; print(edgewright_runtime.__file__)"
    ).replace("PROGRAM", repr(str(kitchen.home / "runtime")))
    completed = kitchen.transport.run([kitchen.python, "-I", "-c", source], timeout_s=20)
    assert completed.stdout.decode().startswith(str(kitchen.home / "runtime"))


def test_connect_needs_a_known_device() -> None:
    with pytest.raises(errors.DeviceError, match="No device is called kitchen"):
        connect("kitchen")
