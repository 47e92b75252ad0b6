"""The main job on an emulated arm64 board, with the real aarch64 wheels of both engines and no network on the board."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.job import call, document, whole_job

from edgewright import emulator

_TOOLS = ("qemu-system-aarch64", "mmdebstrap", "ssh-keygen")
_MISSING = [tool for tool in _TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.emulated,
    pytest.mark.skipif(bool(_MISSING), reason=f"needs {', '.join(_MISSING)}"),
]


@pytest.fixture(scope="module", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the user's is used or touched, and no board outlives the tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for kind in ("CACHE", "CONFIG", "DATA"):
            monkeypatch.setenv(f"EDGEWRIGHT_{kind}_HOME", str(tmp_path_factory.mktemp(kind.lower())))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        yield
        for board in emulator.list_boards():
            emulator.remove(board.name)


@pytest.mark.parametrize("engine", ["litert", "tflite"])
def test_the_whole_job(engine: str, tmp_path: Path) -> None:
    made = document("device", "emulate", "box")
    assert made["running"] is True
    result = whole_job("box", engine, tmp_path)
    board = result["environment"]["board"]
    assert board["machine"] == "aarch64"
    assert board["emulated"] == emulator.MARKER.strip()


def test_it_is_stopped_listed_and_removed_as_a_command() -> None:
    call("device", "emulate", "box")
    call("device", "emulate", "box", "--stop")
    assert [board["running"] for board in document("device", "emulate", "--list")["boards"]] == [False]
    assert document("device", "emulate", "box")["running"] is True
    call("device", "emulate", "box", "--remove")
    assert call("device", "list") == ""
    assert emulator.list_boards() == []
