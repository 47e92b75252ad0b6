"""Boards from creation to removal, with a stand-in for QEMU that keeps to what edgewright relies on."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgewright import emulator
from edgewright.emulator import boards, build, host, machine
from edgewright.errors import DeviceError, InputError, TransportError

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")

Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Makes a shell script that is found before any program of that name."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def make(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(stat.S_IRWXU)

    return make


@pytest.fixture(autouse=True)
def stand_in(tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The stand-in, an image of nothing, and no process left behind."""
    monkeypatch.setenv("EDGEWRIGHT_CACHE_HOME", str(tmp_path / "cache"))
    image = build._image_folder()
    image.mkdir(parents=True)
    for name in ("kernel", "initrd", "disk"):
        (image / name).write_bytes(name.encode())
    program(
        "qemu-system-aarch64", f'exec {sys.executable} -S -E {Path(__file__).with_name("emulator_stand_in.py")} "$@"'
    )
    yield
    for folder in boards._folders():
        machine.cut_power(folder)


def test_a_board_from_creation_to_removal() -> None:
    steps: list[float] = []
    board = emulator.create("kitchen", progress=lambda _, fraction: steps.append(fraction))
    assert steps == sorted(steps)
    assert steps[-1] == 1.0
    assert board.running
    assert (board.ssh_host, board.user, board.memory_mb) == ("127.0.0.1", "pi", 1024)
    assert emulator.list_boards() == [board]
    assert emulator.find_board("kitchen") == board
    assert emulator.start("kitchen") == board
    assert board.serial.readlink() == Path("/dev/pts/321")

    stopped = emulator.stop("kitchen")
    assert not stopped.running
    assert not stopped.serial.is_symlink()  # that terminal may soon be another program's
    assert emulator.stop("kitchen") == stopped
    assert emulator.start("kitchen") == board

    emulator.remove("kitchen")
    assert emulator.list_boards() == []
    assert not any(host.boards_folder().iterdir())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((board.ssh_host, board.ssh_port)).close()


def test_keys_are_the_boards_own_and_private() -> None:
    board = emulator.create("kitchen")
    folder = board.identity_file.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(board.identity_file.stat().st_mode) == 0o600
    told = subprocess.run(["ssh-keygen", "-lf", folder / "host_key.pub"], capture_output=True, text=True).stdout
    assert told.split()[1] == board.host_key_fingerprint
    public = subprocess.run(["ssh-keygen", "-yf", board.identity_file], capture_output=True, text=True).stdout
    assert public.split()[:2] == (folder / "authorized_keys").read_text().split()[:2]
    assert emulator.create("attic").host_key_fingerprint != board.host_key_fingerprint


def test_two_boards_share_neither_disk_nor_port() -> None:
    kitchen, attic = emulator.create("kitchen"), emulator.create("attic")
    assert kitchen.ssh_port != attic.ssh_port
    (attic.identity_file.parent / "disk").write_bytes(b"written by the attic")
    assert (kitchen.identity_file.parent / "disk").read_bytes() == b"disk"
    assert [board.name for board in emulator.list_boards()] == ["attic", "kitchen"]


def test_a_taken_name_is_refused_and_the_board_left_alone() -> None:
    board = emulator.create("kitchen")
    with pytest.raises(InputError, match="There is a board called kitchen already: start it, remove it, or choose"):
        emulator.create("kitchen")
    assert emulator.list_boards() == [board]


def test_of_two_who_create_the_same_board_one_is_refused() -> None:
    with ThreadPoolExecutor() as pool:
        futures = [pool.submit(emulator.create, "kitchen") for _ in range(2)]
    assert sorted(type(future.exception()) is InputError for future in futures) == [False, True]
    assert emulator.find_board("kitchen").running


def test_a_taken_port_is_exchanged_for_another() -> None:
    before = emulator.create("kitchen")
    emulator.stop("kitchen")
    with socket.create_server((before.ssh_host, before.ssh_port)):
        after = emulator.start("kitchen")
    assert after.running
    assert after.ssh_port != before.ssh_port
    assert emulator.find_board("kitchen") == after


def test_without_any_free_port_it_says_so(program: Program) -> None:
    program("qemu-system-aarch64", "echo \"Could not set up host forwarding rule 'tcp:'\" >&2; exit 1")
    with pytest.raises(DeviceError, match="No free port was found for kitchen's SSH server"):
        emulator.create("kitchen")


def test_a_killed_board_is_off_and_can_be_started() -> None:
    board = emulator.create("kitchen")
    pid = machine.running_pid(board.identity_file.parent)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while emulator.find_board("kitchen").running:
        pass
    assert emulator.start("kitchen") == board


@pytest.mark.parametrize(
    ("behaviour", "error", "sentence"),
    [
        ("refuse", DeviceError, r"QEMU did not start kitchen \(.*Cannot allocate memory\): try less memory"),
        ("die", TransportError, r"switched itself off while booting\. Its console's last lines:\n.* 12.0\] a line"),
        ("mute", TransportError, r"did not boot within 0.2 s: .*\n(\[  1[2-9]\.0\] a line\n?){8}\Z"),
    ],
)
def test_a_board_that_does_not_boot_is_told_and_removed(
    behaviour: str, error: type[Exception], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", behaviour)
    monkeypatch.setattr(machine, "_GREETING_TIMEOUT_S", 0.1)
    with pytest.raises(error, match=sentence):
        emulator.create("kitchen", boot_timeout_s=0.2)
    assert not any(host.boards_folder().iterdir())


def test_a_stopped_board_that_does_not_boot_stays_and_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.create("kitchen")
    stopped = emulator.stop("kitchen")
    monkeypatch.setenv("STAND_IN", "mute")
    monkeypatch.setattr(machine, "_GREETING_TIMEOUT_S", 0.1)
    with pytest.raises(TransportError):
        emulator.start("kitchen", boot_timeout_s=0.1)
    assert emulator.list_boards() == [stopped]


def test_ctrl_c_while_booting_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "wait_until_booted", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        emulator.create("kitchen")
    assert not any(host.boards_folder().iterdir())


def test_a_board_that_ignores_its_switch_loses_its_power(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN", "stubborn")
    monkeypatch.setattr(machine, "_SWITCH_OFF_S", 0.05)
    monkeypatch.setattr(machine, "_PLUG_S", 0.05)
    emulator.create("kitchen")
    assert not emulator.stop("kitchen").running


@pytest.mark.parametrize("name", ["", "a b", "-a", "../a", "a.b", ".kitchen.lock", "x" * 65, "ü", "a\n"])
def test_names_that_are_none(name: str) -> None:
    for act in (emulator.create, emulator.start, emulator.stop, emulator.remove, emulator.find_board):
        with pytest.raises(InputError, match="is no name for a board"):
            act(name)


def test_an_unknown_board_is_told_with_the_nearest_name() -> None:
    with pytest.raises(DeviceError, match="No emulated board is called kitchen: there are none yet"):
        emulator.start("kitchen")
    emulator.create("kitchen")
    with pytest.raises(DeviceError, match=r"No emulated board is called kitchn: did you mean kitchen\?"):
        emulator.stop("kitchn")
    with pytest.raises(DeviceError, match=r"No emulated board is called zzz: there are kitchen\."):
        emulator.remove("zzz")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"memory_mb": 64}, "cannot do with 64 MB of memory: give it 256 or more"),
        ({"cpus": 0}, "1 to 8 processors, not 0"),
        ({"cpu": "cortex-a99"}, "No processor is called cortex-a99: choose one of cortex-a53, cortex-a72, cortex-a76"),
    ],
)
def test_impossible_hardware_is_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        emulator.create("kitchen", **options)  # type: ignore[arg-type]
    assert emulator.list_boards() == []


def test_hardware_is_remembered() -> None:
    emulator.create("kitchen", memory_mb=512, cpus=4, cpu="cortex-a53", network=True)
    emulator.stop("kitchen")
    assert emulator.start("kitchen").memory_mb == 512
    assert boards._read_settings(host.boards_folder() / "kitchen").hardware == machine.Hardware(
        512, 4, "cortex-a53", True
    )


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"schema": 1}', b'{"ssh_port": 1, "hardware": {"x": 1}}'])
def test_damaged_settings_are_told(content: bytes) -> None:
    board = emulator.create("kitchen")
    emulator.stop("kitchen")
    settings = board.identity_file.with_name("board.json")
    assert json.loads(settings.read_bytes())["schema"] == 1
    settings.write_bytes(content)
    for act in (emulator.list_boards, lambda: emulator.start("kitchen"), lambda: emulator.create("attic")):
        with pytest.raises(DeviceError, match=r"Cannot read .*board\.json .*: delete .*kitchen and create the board"):
            act()
    emulator.remove("kitchen")
    assert emulator.list_boards() == []


def test_what_a_cut_off_creation_or_removal_left_is_no_board_and_in_nobodys_way() -> None:
    for leftover in (".kitchen.unfinished", ".kitchen.removed"):
        (host.boards_folder() / leftover / "more").mkdir(parents=True)
    assert emulator.list_boards() == []
    emulator.create("kitchen")
    emulator.remove("kitchen")
    assert not any(host.boards_folder().iterdir())
