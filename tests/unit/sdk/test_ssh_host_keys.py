import shutil
import subprocess
from pathlib import Path

import asyncssh
import pytest

from edgewright.devices import inventory_path
from edgewright.errors import InputError, StorageError
from edgewright.transports.host_keys import HostKey, HostKeys
from edgewright.transports.ssh_address import SshAddress

KITCHEN = SshAddress("kitchen.local", "pi")
SAME_HOST_OTHER_PORT = SshAddress("kitchen.local", "pi", 2222)


def _key(algorithm: str = "ssh-ed25519") -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(algorithm)


def _host_key(key: asyncssh.SSHKey) -> HostKey:
    return HostKey.parse(key.export_public_key().decode())


def test_a_fingerprint_is_what_ssh_keygen_prints() -> None:
    key = _key()
    assert _host_key(key).fingerprint == key.get_fingerprint()


def test_a_key_is_written_as_it_was_read() -> None:
    text = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7K6pVfJ0l3vR8b1uZ6lq5bqDCKp5rPkVwXh0eYJb0P"
    assert str(HostKey.parse(f"{text} comment")) == text


def test_one_key_for_each_address() -> None:
    first, second, other = (_host_key(_key()) for _ in range(3))
    keys = HostKeys()
    assert keys.find(KITCHEN) is None
    keys.pin(KITCHEN, first)
    keys.pin(SAME_HOST_OTHER_PORT, other)
    keys.pin(KITCHEN, second)
    assert HostKeys().find(KITCHEN) == second
    assert HostKeys().find(SAME_HOST_OTHER_PORT) == other
    keys.forget(KITCHEN)
    assert keys.find(KITCHEN) is None
    assert keys.find(SAME_HOST_OTHER_PORT) == other


def test_port_22_is_the_same_as_none() -> None:
    key = _host_key(_key())
    HostKeys().pin(KITCHEN, key)
    assert HostKeys().find(SshAddress("kitchen.local", "pi", 22)) == key


def test_the_file_is_beside_the_inventory_and_keeps_what_is_not_ours() -> None:
    keys = HostKeys()
    assert keys.path == inventory_path().with_name("known_hosts")
    keys.path.parent.mkdir(parents=True)
    keys.path.write_text("# mine\n\nelsewhere ssh-ed25519 AAAA\n")
    keys.pin(KITCHEN, _host_key(_key()))
    assert keys.path.read_text().startswith("# mine\n\nelsewhere ssh-ed25519 AAAA\nkitchen.local ssh-ed25519 AAAA")


def test_openssh_reads_the_file_too(tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("there is no ssh-keygen")
    key = _host_key(_key("ecdsa-sha2-nistp256"))
    keys = HostKeys(tmp_path / "known_hosts")
    keys.pin(SAME_HOST_OTHER_PORT, key)
    argv = ["ssh-keygen", "-l", "-F", "[kitchen.local]:2222", "-f", str(keys.path)]
    assert key.fingerprint in subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("line", ["kitchen.local", "kitchen.local ssh-ed25519", "kitchen.local ssh-ed25519 ?!"])
def test_a_damaged_line_is_named(line: str) -> None:
    keys = HostKeys()
    keys.path.parent.mkdir(parents=True)
    keys.path.write_text(f"# a comment\n{line}\n")
    with pytest.raises(InputError, match=r"Line 2 of .*known_hosts is no host key: delete that line"):
        keys.find(KITCHEN)


def test_a_file_that_is_no_text() -> None:
    keys = HostKeys()
    keys.path.parent.mkdir(parents=True)
    keys.path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="Cannot read the host keys"):
        keys.find(KITCHEN)


def test_a_file_that_cannot_be_written() -> None:
    with pytest.raises(StorageError, match="Cannot write"):
        HostKeys(Path("/proc/edgewright/known_hosts")).pin(KITCHEN, _host_key(_key()))
