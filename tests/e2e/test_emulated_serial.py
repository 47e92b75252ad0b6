"""The main job on an emulated arm64 board over its serial console alone: no network, no SSH, a login and a shell."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from e2e.job import call, document
from keyring.backend import KeyringBackend
from unit.models import tiny_bundle

from edgewright import emulator
from edgewright.transports.serial_ports import find_ports, look

_TOOLS = ("qemu-system-aarch64", "mmdebstrap", "ssh-keygen")
_MISSING = [tool for tool in _TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.emulated,
    pytest.mark.skipif(bool(_MISSING), reason=f"needs {', '.join(_MISSING)}"),
]


class OnePassword(KeyringBackend):
    """A keyring that knows what the board's console asks for."""

    priority = 1  # type: ignore[assignment]

    def get_password(self, service: str, username: str) -> str | None:
        return "raspberry" if (service, username) == ("edgewright", "pi@attic") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the user's is used or touched, and no board outlives the test."""
    before = keyring.get_keyring()
    with pytest.MonkeyPatch.context() as monkeypatch:
        for kind in ("CACHE", "CONFIG", "DATA"):
            monkeypatch.setenv(f"EDGEWRIGHT_{kind}_HOME", str(tmp_path_factory.mktemp(kind.lower())))
        keyring.set_keyring(OnePassword())
        yield
        keyring.set_keyring(before)
        for board in emulator.list_boards():
            emulator.remove(board.name)


def test_login_setup_flash_and_bench_over_the_console(tmp_path: Path) -> None:
    board = emulator.create("box")
    assert str(board.serial) in [port.path for port in find_ports()]
    call("device", "add", "attic", f"serial://{board.serial}?user={board.user}")
    found = document("device", "probe", "attic")
    assert found["architecture"] == "aarch64"
    assert document("device", "setup", "attic", "--engine", "tflite")["changes"]
    bundle = tiny_bundle(tmp_path / "tiny.ewb", name="tiny")
    flashed = document("flash", bundle, "attic")["reports"][0]
    assert document("flash", bundle, "attic")["reports"][0]["sent_bytes"] == 0
    (result,) = document("bench", bundle, "attic", "--min-seconds", "0.1")["results"]
    assert result["bundle"]["id"] == flashed["bundle_id"]
    assert result["engine"]["name"] == "tflite"
    assert result["environment"]["board"]["emulated"] == emulator.MARKER.strip()
    answers = document("run", "tiny", "attic", "--text", "turn the lights on")
    assert abs(sum(label["probability"] for label in answers["labels"]) - 1) < 1e-3
    assert look(str(board.serial)) == "a login prompt of box"
