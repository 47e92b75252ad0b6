"""What runs on the device beside each program, run here as a device would run it."""

import ast
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

SOURCE = files("edgewright.transports").joinpath("far_end.py").read_text("utf-8")
ANSWER = b"\0edgewright \0"
PATIENT, IMPATIENT = "60", "0.1"  # seconds of silence

FarEnd = subprocess.Popen[bytes]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[FarEnd]]:
    """All that was started; whoever is left is ended."""
    processes: list[FarEnd] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def _close_stdin(process: FarEnd) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None  # so that communicate() leaves it alone


def _start(started: list[FarEnd], home: Path, silence_s: str, *command: str) -> FarEnd:
    pipe = subprocess.PIPE
    argv = [sys.executable, "-I", "-S", "-c", SOURCE, str(home), silence_s, *command]
    started.append(subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe))
    return started[-1]


def _expect(process: FarEnd, expected: bytes) -> None:
    assert process.stdout is not None
    assert process.stdout.read(len(expected)) == expected


def test_it_is_python_3_9_and_imports_no_more_than_a_small_board_likes() -> None:
    tree = ast.parse(SOURCE, feature_version=(3, 9))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"_thread", "errno", "os", "select", "sys", "zlib"}


def test_a_program_gets_its_input_and_the_host_its_output(tmp_path: Path, started: list[FarEnd]) -> None:
    process = _start(started, tmp_path / "home", PATIENT, "run", "5", "sh", "-c", "pwd; cat; echo talk >&2; exit 7")
    assert process.stdin is not None
    process.stdin.write(b"hello.....")  # signs of life come after the five bytes
    process.stdin.flush()
    assert process.wait(10) == 7
    assert process.communicate() == (ANSWER + f"{tmp_path}/home\nhello".encode(), b"talk\n")


@pytest.mark.parametrize("silence_s", [PATIENT, IMPATIENT])
def test_a_program_and_its_children_end_with_the_host(tmp_path: Path, started: list[FarEnd], silence_s: str) -> None:
    process = _start(started, tmp_path, silence_s, "run", "0", "sh", "-c", "sleep 60 & echo started; wait")
    _expect(process, ANSWER + b"started\n")
    if silence_s == PATIENT:
        _close_stdin(process)
    process.communicate(timeout=10)  # ends when nobody holds stdout any more
    assert process.returncode == 128 + signal.SIGKILL


def test_what_a_program_leaves_behind_ends_with_it(tmp_path: Path, started: list[FarEnd]) -> None:
    process = _start(started, tmp_path, PATIENT, "run", "0", "sh", "-c", "sleep 60 & exit 3")
    assert process.wait(10) == 3
    assert process.communicate(timeout=10)[0] == ANSWER  # ends when nobody holds stdout any more


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/", 126)])
def test_what_cannot_be_run(tmp_path: Path, started: list[FarEnd], program: str, code: int) -> None:
    process = _start(started, tmp_path, PATIENT, "run", "0", program)
    assert process.communicate(timeout=10)[1].startswith(program.encode() + b": ")
    assert process.returncode == code


def test_a_program_does_not_start_before_all_of_its_input_is_there(tmp_path: Path, started: list[FarEnd]) -> None:
    process = _start(started, tmp_path, PATIENT, "run", "100", "touch", "started")
    assert process.communicate(b"only a part", timeout=10) == (b"", b"")
    assert not (tmp_path / "started").exists()


def test_a_file_is_put(tmp_path: Path, started: list[FarEnd]) -> None:
    content = os.urandom(300_000)
    process = _start(started, tmp_path, PATIENT, "put", "some/folder/file")
    assert process.communicate(zlib.compress(content, 1), timeout=10) == (ANSWER, b"")
    assert (tmp_path / "some/folder/file").read_bytes() == content
    assert [path.name for path in (tmp_path / "some/folder").iterdir()] == ["file"]


@pytest.mark.parametrize("silence_s", [PATIENT, IMPATIENT])
def test_half_a_file_leaves_the_old_one(tmp_path: Path, started: list[FarEnd], silence_s: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    process = _start(started, tmp_path, silence_s, "put", "file")
    assert process.stdin is not None
    process.stdin.write(zlib.compress(os.urandom(300_000), 1)[:-1])
    process.stdin.flush()
    if silence_s == PATIENT:
        _close_stdin(process)
    assert process.wait(10) == 1
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_a_file_damaged_on_its_way_leaves_the_old_one(tmp_path: Path, started: list[FarEnd]) -> None:
    (tmp_path / "file").write_bytes(b"old")
    damaged = bytearray(zlib.compress(os.urandom(100_000), 0))
    damaged[50_000] ^= 1
    process = _start(started, tmp_path, PATIENT, "put", "file")
    output, errors = process.communicate(bytes(damaged), timeout=10)
    assert (output, process.returncode) == (b"", 1)
    assert b"incorrect data check" in errors
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_refusals_go_by_name(tmp_path: Path, started: list[FarEnd]) -> None:
    (tmp_path / "file").write_bytes(b"")
    stream = zlib.compress(b"")
    for command, path, name in [
        ("put", "file/below", b"ENOTDIR"),
        ("put", "x" * 300, b"ENAMETOOLONG"),
        ("put", "/proc/x", b"ENOENT"),
        ("get", "nothing", b"ENOENT"),
        ("get", ".", b"EISDIR"),
    ]:
        process = _start(started, tmp_path, PATIENT, command, path)
        assert process.communicate(stream, timeout=10)[0] == b"\0edgewright " + name + b"\0", path
        assert process.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_is_got(tmp_path: Path, started: list[FarEnd]) -> None:
    content = os.urandom(300_000)
    (tmp_path / "file").write_bytes(content)
    process = _start(started, tmp_path, PATIENT, "get", "file")
    assert process.communicate(timeout=10)[0] == ANSWER + content
