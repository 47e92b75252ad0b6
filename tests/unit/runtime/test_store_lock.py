"""Two never change a store at once, and a lock never outlives its owner."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgewright_runtime.errors import StorageError
from edgewright_runtime.isolated import isolated
from edgewright_runtime.lock import locked


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@contextmanager
def _other_process(home: Path, host: str = "attic") -> Iterator[int]:
    """Another process that holds the lock."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with locked(home, host):
            os.write(writer, b"!")
            time.sleep(60)
        os._exit(0)
    os.read(reader, 1)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


def test_the_second_is_refused_and_told_by_whom(home: Path) -> None:
    with (
        _other_process(home) as pid,
        pytest.raises(StorageError, match=f"is being changed by process {pid} for attic, since 0 s: wait"),
        locked(home, wait_s=0),
    ):
        pass


def test_the_second_waits_and_is_told_for_whom(home: Path) -> None:
    told: list[str] = []
    with _other_process(home) as pid:
        child = os.fork()
        if child == 0:
            time.sleep(0.2)
            os.kill(pid, signal.SIGKILL)
            os._exit(0)
        with locked(home, tell=told.append):
            os.waitpid(child, 0)
    assert len(told) == 1
    assert told[0].startswith(f"process {pid} for attic")


def test_the_lock_of_a_dead_process_is_free(home: Path) -> None:
    with _other_process(home):
        pass
    assert "attic" in (home / ".lock").read_text()  # it died with it in its hand
    with locked(home, "kitchen", wait_s=0):
        assert json.loads((home / ".lock").read_text())["host"] == "kitchen"


def test_a_child_that_outlives_its_parent_does_not_hold_it(home: Path) -> None:
    """The parent has the lock and checks a model in a child when it is killed."""
    started = home.parent / "started"
    parent = os.fork()
    if parent == 0:

        def work() -> dict[str, object]:
            started.write_text(str(os.getpid()))
            time.sleep(60)
            return {}

        with locked(home):
            isolated(work)
    while not started.exists() or not started.read_text():
        time.sleep(0.01)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    child = int(started.read_text())
    os.kill(child, 0)  # still there
    with locked(home, wait_s=0):
        pass
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"3", b'{"pid": 1}', b'{"pid": 4194305, "host": "", "since": 0}', b"\xff" * 2000]
)
def test_what_the_file_says_is_only_for_people(home: Path, content: bytes) -> None:
    with _other_process(home):
        (home / ".lock").write_bytes(content)
        with pytest.raises(StorageError, match="is being changed by another process: wait"), locked(home, wait_s=0):
            pass


def test_a_symlink_in_its_place_is_not_followed(home: Path) -> None:
    home.mkdir()
    (home.parent / "precious").write_text("untouched")
    (home / ".lock").symlink_to(home.parent / "precious")
    with pytest.raises(StorageError, match="a symlink is in the way"), locked(home):
        pass
    assert (home.parent / "precious").read_text() == "untouched"
