"""A real virtual machine: built from Debian's packages, booted by QEMU, reached with OpenSSH's client."""

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.models import tiny_bundle

import edgewright_runtime
from edgewright import emulator
from edgewright.emulator import build
from edgewright.emulator.host import images_folder, locked
from edgewright.emulator.machine import running_pid
from edgewright.errors import TransportError

_TOOLS = ("qemu-system-aarch64", "mmdebstrap", "ssh", "ssh-keygen")
_MISSING = [tool for tool in _TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.emulated,
    pytest.mark.skipif(bool(_MISSING), reason=f"needs {', '.join(_MISSING)}"),
]

_ENGINES = {
    "litert": ["ai-edge-litert==2.3.0", "numpy>=1.23.2,<3"],
    "tflite": ["tflite-runtime==2.14.0", "numpy>=1.23.2,<2"],
}
_PLATFORMS = [f"manylinux_2_{minor}_aarch64" for minor in (36, 34, 28, 27, 17)] + ["manylinux2014_aarch64"]


@pytest.fixture(scope="module", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the user's is used or touched, and no board outlives the tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("EDGEWRIGHT_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        monkeypatch.setenv("EDGEWRIGHT_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield
        for board in emulator.list_boards():
            emulator.remove(board.name)
        shutil.rmtree(images_folder())


@pytest.fixture(scope="module")
def built() -> Path:
    """The image, built by two at once after a build that was killed half-way."""
    fork = multiprocessing.get_context("fork")
    killed = fork.Process(target=build.image)
    killed.start()
    (unfinished,) = _appearing(images_folder(), ".*.unfinished/root/etc")
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    assert [path for path in images_folder().iterdir() if not path.name.startswith(".")] == []

    builders = [fork.Process(target=build.image) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert [builder.exitcode for builder in builders] == [0, 0]
    (image,) = images_folder().iterdir()
    assert not unfinished.exists()
    return image


@pytest.fixture(scope="module")
def kitchen(built: Path) -> emulator.EmulatedBoard:
    return emulator.create("kitchen")


@pytest.fixture
def board(kitchen: emulator.EmulatedBoard) -> emulator.EmulatedBoard:
    """The same board for all tests, running whatever the test before did."""
    return emulator.start(kitchen.name)


def _appearing(folder: Path, pattern: str) -> list[Path]:
    for _ in range(600):
        found = list(folder.glob(pattern))
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{pattern} did not appear in {folder}")


def _ssh(
    board: emulator.EmulatedBoard,
    *command: str,
    options: tuple[str, ...] = (),
    identity: Path | None = None,
    input: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    folder = board.identity_file.parent
    key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    known = folder / "known_hosts"
    known.write_text(f"[{board.ssh_host}]:{board.ssh_port} {key}\n")
    settings = ["BatchMode=yes", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={known}", "IdentitiesOnly=yes"]
    argv = ["ssh", "-F", "none", *options, *(part for setting in settings for part in ("-o", setting))]
    argv += [
        "-i",
        str(identity or board.identity_file),
        "-p",
        str(board.ssh_port),
        "-l",
        board.user,
        board.ssh_host,
        *command,
    ]
    return subprocess.run(argv, input=input, capture_output=True, timeout=120)


def _answer(board: emulator.EmulatedBoard, command: str, input: bytes = b"") -> str:
    completed = _ssh(board, command, input=input)
    assert completed.returncode == 0, completed.stderr.decode()
    return completed.stdout.decode().strip()


def test_it_is_a_64_bit_arm_debian_that_says_that_it_is_emulated(board: emulator.EmulatedBoard) -> None:
    assert board.running
    assert _answer(board, "uname -m; id -un; python3 -c 'import sys; print(sys.version_info[:2])'").split("\n") == [
        "aarch64",
        "pi",
        "(3, 11)",
    ]
    assert _answer(board, f"cat {emulator.MARKER_PATH}") == emulator.MARKER.strip()
    memory_kb = int(_answer(board, "grep MemTotal /proc/meminfo").split()[1])
    assert 0.85 * board.memory_mb < memory_kb / 1024 <= board.memory_mb


def test_it_knows_the_time_and_owns_its_home(board: emulator.EmulatedBoard) -> None:
    assert abs(float(_answer(board, "date +%s")) - time.time()) < 60
    assert _answer(board, "cd && echo kept >file && cat file && rm file") == "kept"
    assert _ssh(board, "touch /etc/file").returncode != 0


def test_its_python_starts_from_compiled_files(board: emulator.EmulatedBoard) -> None:
    if build._same_python():
        assert _answer(board, "python3 -c 'import json; print(json.__cached__)'").endswith(".pyc")
        assert _answer(board, "ls /usr/lib/python3.11/json/__pycache__ | grep -c decoder.cpython-311.pyc") == "1"


def test_nobody_gets_in_without_the_key(board: emulator.EmulatedBoard) -> None:
    passwords = ("-o", "PubkeyAuthentication=no", "-o", "PasswordAuthentication=yes")
    for refused in (
        _ssh(board, "true", options=passwords),
        _ssh(board, "true", options=("-l", "root")),
        _ssh(board, "true", identity=board.identity_file.with_name("host_key")),
    ):
        assert refused.returncode == 255
        assert b"Permission denied (publickey)" in refused.stderr


def test_it_listens_to_this_machine_alone(board: emulator.EmulatedBoard) -> None:
    sockets = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()]
    listening = {local for local, _, state in sockets if state == "0A"}
    assert {address for address in listening if address.endswith(f":{board.ssh_port:04X}")} == {
        f"0100007F:{board.ssh_port:04X}"
    }


def test_it_reaches_no_network(board: emulator.EmulatedBoard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = f"import socket; socket.create_connection(('10.0.2.2', {port}), timeout=1)"
        assert _ssh(board, "python3 -", input=script.encode()).returncode == 1


def test_its_serial_console_has_a_login(board: emulator.EmulatedBoard) -> None:
    terminal = os.open(board.serial, os.O_RDWR | os.O_NOCTTY)
    try:
        time.sleep(1.5)  # QEMU looks once a second whether somebody opened the other end
        talk = b""
        for line, answer in ((b"", b"login: "), (b"pi", b"Password: "), (b"raspberry", b"$ "), (b"id -un", b"pi\r\n")):
            os.write(terminal, line + b"\r")
            talk = _read_until(terminal, answer)
        assert b"Login incorrect" not in talk
        os.write(terminal, b"exit\r")
        _read_until(terminal, b"login: ")
    finally:
        os.close(terminal)


def _read_until(terminal: int, expected: bytes) -> bytes:
    os.set_blocking(terminal, False)
    talk = b""
    for _ in range(600):
        try:
            talk += os.read(terminal, 4096)
        except BlockingIOError:
            time.sleep(0.05)
        if expected in talk:
            return talk
    raise AssertionError(f"{expected!r} did not come after {talk!r}")


@pytest.mark.parametrize("engine", _ENGINES)
def test_an_engines_wheels_run_there_without_pip(board: emulator.EmulatedBoard, engine: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target", str(site)]
        + [f"--platform={platform}" for platform in _PLATFORMS]
        + ["--python-version=311", "--implementation=cp", "--abi=cp311", *_ENGINES[engine]],
        check=True,
    )
    shutil.copytree(
        Path(edgewright_runtime.__file__).parent,
        site / "edgewright_runtime",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    tiny_bundle(site / "tiny.ewb")
    archive = subprocess.run(["tar", "-C", site, "-c", "."], check=True, capture_output=True).stdout
    _answer(board, f"mkdir {engine} && tar -C {engine} -x", input=archive)
    # The golden samples' answers come from this machine's processor.
    answer = _answer(board, f"cd {engine} && python3 -m edgewright_runtime verify tiny.ewb --engine {engine}")
    assert '"max_difference"' in answer


def test_its_disk_outlives_a_stop_and_its_name_and_key_stay(board: emulator.EmulatedBoard) -> None:
    _answer(board, "echo flashed >kept")
    stopped = emulator.stop(board.name)
    assert not stopped.running
    check = subprocess.run(["/usr/sbin/e2fsck", "-fn", stopped.identity_file.with_name("disk")], capture_output=True)
    assert check.returncode == 0, check.stdout.decode()
    again = emulator.start(board.name)
    assert again == board
    assert _answer(again, "cat kept; hostname").split() == ["flashed", board.name]


def test_what_was_synced_outlives_a_power_cut(board: emulator.EmulatedBoard) -> None:
    _answer(board, "echo flashed >synced && sync synced .")
    pid = running_pid(board.identity_file.parent)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with locked(board.identity_file.parent):
        while emulator.find_board(board.name).running:
            time.sleep(0.01)
    assert _answer(emulator.start(board.name), "cat synced") == "flashed"


def test_a_port_taken_meanwhile_is_exchanged(board: emulator.EmulatedBoard) -> None:
    emulator.stop(board.name)
    with socket.create_server((board.ssh_host, board.ssh_port)):
        moved = emulator.start(board.name)
    assert moved.ssh_port != board.ssh_port
    assert _answer(moved, "uname -m") == "aarch64"


def test_another_board_has_other_hardware_and_keys(board: emulator.EmulatedBoard) -> None:
    attic = emulator.create("attic", memory_mb=256, cpus=1, cpu="cortex-a53", network=True)
    assert attic.host_key_fingerprint != board.host_key_fingerprint
    assert _answer(attic, "nproc; hostname").split() == ["1", "attic"]
    assert _ssh(attic, "true", identity=board.identity_file).returncode == 255
    assert _answer(board, "hostname") == board.name
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        _answer(attic, "python3 -", f"import socket; socket.create_connection(('10.0.2.2', {port}))".encode())
    emulator.remove("attic")
    assert [known.name for known in emulator.list_boards()] == [board.name]
    assert not attic.identity_file.parent.exists()


def test_a_board_without_time_to_boot_is_told_with_its_console(built: Path) -> None:
    with pytest.raises(
        TransportError, match=r"cellar did not boot within 0.1 s: .*(console's last lines|said nothing)"
    ):
        emulator.create("cellar", boot_timeout_s=0.1)
    assert "cellar" not in [known.name for known in emulator.list_boards()]
