import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgewright.emulator.host import BUILD_TOOLS, RUN_TOOLS, boards_folder, images_folder, locked, require, run
from edgewright.errors import DeviceError, StorageError

_HOLD = """
import sys
from pathlib import Path
from edgewright.emulator.host import locked, run
board = Path(sys.argv[1])
with locked(board) as lock: """


def test_missing_tools_are_told_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, **_: None if name in ("mmdebstrap", "mkfs.ext4") else name)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    require(RUN_TOOLS)
    with pytest.raises(DeviceError) as raised:
        require(BUILD_TOOLS)
    assert str(raised.value) == (
        "Emulating a board needs mmdebstrap and mkfs.ext4, not found on this machine: "
        "run `sudo apt-get install --no-install-recommends e2fsprogs mmdebstrap`."
    )


def test_root_needs_no_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, **_: None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(
        DeviceError, match="run `apt-get install --no-install-recommends openssh-client qemu-system-arm`"
    ):
        require(RUN_TOOLS)


def test_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE_HOME", "/cache")
    monkeypatch.setenv("EDGEWRIGHT_DATA_HOME", "/data")
    assert (images_folder(), boards_folder()) == (Path("/cache/emulator"), Path("/data/emulator"))
    monkeypatch.delenv("EDGEWRIGHT_CACHE_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/me/.cache")
    assert images_folder() == Path("/home/me/.cache/edgewright/emulator")


def test_a_tools_answer_and_its_input() -> None:
    assert run(["cat"], what="", remedy="", input="ü\n") == "ü\n"


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo noise >&2; echo 'E: Unable to fetch' >&2; echo more >&2; exit 100", "(Unable to fetch): try"),
        ("echo first >&2; echo last >&2; exit 1", "(last): try"),
        ("exit 3", "(exit code 3): try"),
    ],
)
def test_a_failing_tool_is_told_by_its_decisive_line(script: str, sentence: str) -> None:
    with pytest.raises(DeviceError) as raised:
        run(["sh", "-c", script], what="Making it", remedy="try again")
    assert str(raised.value) == f"Making it failed {sentence} again."


def test_a_full_disk_is_told_whatever_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with pytest.raises(StorageError, match="Copying failed: no space is left on that disk: free 1 GB and try again"):
        run(["dd", "if=/dev/zero", "of=/dev/full", "count=1"], what="Copying", remedy="")


def test_files_that_a_tool_makes_can_be_read_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        run(["touch", tmp_path / "file"], what="", remedy="")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_one_holds_the_lock_and_the_other_waits(tmp_path: Path) -> None:
    order = []

    waits = threading.Event()

    def other() -> None:
        with locked(tmp_path / "board", on_wait=waits.set):
            order.append("other")

    with locked(tmp_path / "board", on_wait=lambda: order.append("never")):
        thread = threading.Thread(target=other)
        thread.start()
        assert waits.wait(10)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]
    assert not any(tmp_path.iterdir())


def test_many_take_turns(tmp_path: Path) -> None:
    inside = 0
    seen = []

    def work() -> None:
        nonlocal inside
        for _ in range(20):
            with locked(tmp_path / "board"):
                inside += 1
                seen.append(inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 80
    assert not any(tmp_path.iterdir())


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="a part of that path is a file"), locked(tmp_path / "file/more/board"):
        pass


def test_a_killed_holders_lock_lasts_as_long_as_its_tools(tmp_path: Path) -> None:
    # Otherwise the tool would go on writing into what the next one has begun.
    script = _HOLD + "run(['sh', '-c', 'echo >$0.runs; read -r _ <$0.fifo', board], what='', remedy='', lock=lock)"
    os.mkfifo(tmp_path / "board.fifo")
    with subprocess.Popen([sys.executable, "-c", script, tmp_path / "board"]) as holder:
        while not (tmp_path / "board.runs").exists():
            assert holder.poll() is None
        holder.kill()
    entered = threading.Event()

    def other() -> None:
        with locked(tmp_path / "board"):
            entered.set()

    thread = threading.Thread(target=other)
    thread.start()
    assert not entered.wait(0.05)
    (tmp_path / "board.fifo").write_text("done\n")
    thread.join()
    assert entered.is_set()
