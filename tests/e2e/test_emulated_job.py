"""The main job on an emulated arm64 board, with the real aarch64 wheels of both engines and no network on the board."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from e2e.job import call, document, whole_job
from keyring.backend import KeyringBackend
from unit.models import tiny_bundle

from edgewright import emulator
from edgewright.engines import choose
from edgewright.probe import probe
from edgewright.remote import connect
from edgewright.site_archive import site_archive
from edgewright.transports.serial_ports import find_ports, look
from edgewright.wheels import WheelTag, fetch_wheels
from edgewright_runtime.hashing import hash_file

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


class OnePassword(KeyringBackend):
    """A keyring that knows what the board's console asks for."""

    priority = 1  # type: ignore[assignment]

    def get_password(self, service: str, username: str) -> str | None:
        return "raspberry" if (service, username) == ("edgewright", "pi@attic") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


@pytest.fixture
def _password() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(OnePassword())
    yield
    keyring.set_keyring(before)


@pytest.mark.usefixtures("_password")
def test_login_setup_flash_and_bench_over_the_serial_console(tmp_path: Path) -> None:
    """The engine takes five minutes on this line: all but 300 kB is there, as an interrupted set-up left it."""
    document("device", "emulate", "box")
    board = emulator.find_board("box")
    _leave_all_but("box", 300_000, tmp_path)
    assert str(board.serial) in [port.path for port in find_ports()]
    call("device", "add", "attic", f"serial://{board.serial}?user={board.user}")
    assert document("device", "setup", "attic", "--engine", "tflite")["changes"]
    bundle = tiny_bundle(tmp_path / "tiny.ewb", name="tiny")
    flashed = document("flash", bundle, "attic")["reports"][0]
    (result,) = document("bench", bundle, "attic", "--min-seconds", "0.1")["results"]
    assert result["bundle"]["id"] == flashed["bundle_id"]
    assert result["engine"]["name"] == "tflite"
    assert result["environment"]["board"]["emulated"] == emulator.MARKER.strip()
    for _ in range(20):  # init starts a getty again
        if look(str(board.serial)) == "a login prompt of box":
            break
    else:
        pytest.fail("the console shows no login prompt afterwards")
    call("device", "remove", "attic")
    call("device", "emulate", "box", "--remove")


def _leave_all_but(device: str, size_bytes: int, tmp_path: Path) -> None:
    """What a set-up leaves on a device when it is cut off so many bytes before its end."""
    with connect(device) as remote:
        choice = choose(device, probe(remote), engine="tflite")
        wheels = fetch_wheels(choice.requirements, WheelTag(choice.python.minor, choice.machine))
        archive = site_archive(wheels, choice.python.minor)
        rest = tmp_path / "rest"
        rest.write_bytes(archive.read_bytes()[:-size_bytes])
        remote.transport.put(rest, remote.home / "incoming" / f".{hash_file(archive)[:32]}.part")


def test_it_is_stopped_listed_and_removed_as_a_command() -> None:
    call("device", "emulate", "box")
    call("device", "emulate", "box", "--stop")
    assert [board["running"] for board in document("device", "emulate", "--list")["boards"]] == [False]
    assert document("device", "emulate", "box")["running"] is True
    call("device", "emulate", "box", "--remove")
    assert call("device", "list") == ""
    assert emulator.list_boards() == []
