import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgewright.emulator.machine import Hardware, cut_power, qemu_arguments, running_pid, switch_off

_HOLD = "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"


@contextmanager
def _process(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-S", *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def _argument(arguments: list[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]


def test_the_board_is_reached_from_this_machine_alone_and_reaches_nothing() -> None:
    network = _argument(qemu_arguments(Path("/b"), Hardware(), 2222), "-netdev").split(",")
    assert "hostfwd=tcp:127.0.0.1:2222-:22" in network
    assert "restrict=on" in network
    assert "restrict=off" in _argument(qemu_arguments(Path("/b"), Hardware(network=True), 2222), "-netdev")


def test_hardware_becomes_arguments() -> None:
    arguments = qemu_arguments(Path("/b"), Hardware(memory_mb=512, cpus=3, cpu="cortex-a53"), 2222)
    assert [_argument(arguments, option) for option in ("-m", "-smp", "-cpu")] == ["512", "3", "cortex-a53"]


def test_a_comma_in_a_path_is_no_new_option() -> None:
    arguments = qemu_arguments(Path("/a,b"), Hardware(), 2222)
    assert _argument(arguments, "-kernel") == "/a,b/kernel"  # a whole argument is taken as it is
    inside = [part for part in arguments if "=/a" in part]
    assert len(inside) == 6
    assert all("/a,,b/" in part for part in inside)


def test_a_board_that_never_ran_is_off(tmp_path: Path) -> None:
    assert running_pid(tmp_path) is None
    switch_off(tmp_path)
    cut_power(tmp_path)


def test_a_foreign_process_with_the_boards_old_number_is_left_alone(tmp_path: Path) -> None:
    with _process("-c", "input()", str(tmp_path / "pid")) as foreign:
        (tmp_path / "pid").write_text(f"{foreign.pid}\n")
        assert running_pid(tmp_path) is None
        switch_off(tmp_path)
        cut_power(tmp_path)
        assert foreign.poll() is None


def test_a_foreign_process_that_locks_the_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pid").touch()
    (tmp_path / "link").symlink_to("pid")
    with _process("-c", _HOLD, str(tmp_path / "link")) as foreign:
        assert foreign.stdout is not None
        foreign.stdout.readline()
        assert running_pid(tmp_path) is None
        cut_power(tmp_path)
        assert foreign.poll() is None


def test_the_holder_of_the_lock_is_the_board(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("1\n")  # whatever is written there
    with _process("-c", _HOLD, str(tmp_path / "pid")) as board:
        assert board.stdout is not None
        board.stdout.readline()
        assert running_pid(tmp_path) == board.pid
        cut_power(tmp_path)
        assert board.wait() < 0
        assert running_pid(tmp_path) is None
