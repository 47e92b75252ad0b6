"""An SSH device as a user meets it: added with its host key, and the same commands as any other device."""

import getpass
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from e2e.job import call, whole_job
from e2e.ssh_server import HAS_OPENSSH, SshServer, asyncssh_server, openssh_server

from edgewright.cli.main import cli
from edgewright.devices import Device, find_device, list_devices
from edgewright.enroll import dismiss, enroll
from edgewright.errors import DeviceError, InputError, TransportError
from edgewright.transports.host_keys import HostKeys
from edgewright.transports.ssh_address import SshAddress


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own devices, keys and agent stay out of it."""
    monkeypatch.setenv("EDGEWRIGHT_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    with asyncssh_server(tmp_path / "server") as running:
        yield running


def _uri(server: SshServer) -> str:
    return f"ssh://{getpass.getuser()}@127.0.0.1:{server.port}{server.folder / 'home'}"


def test_a_confirmed_key_is_pinned_and_the_device_answers(server: SshServer) -> None:
    asked: list[tuple[str, str]] = []
    device = Device("kitchen", _uri(server), str(server.client_key))
    enroll(device, confirm=lambda *question: asked.append(question) is None)
    assert asked == [(f"{getpass.getuser()}@127.0.0.1:{server.port}", server.host_key.fingerprint)]
    transport = find_device("kitchen").open()
    try:
        assert transport.run(["echo", "hi"], timeout_s=20).stdout == b"hi\n"
    finally:
        transport.close()
    enroll(device)  # pinned already: no question


def test_nothing_is_added_without_a_yes_or_with_another_fingerprint(server: SshServer) -> None:
    device = Device("kitchen", _uri(server))
    with pytest.raises(DeviceError, match="was not confirmed: nothing was added"):
        enroll(device)
    with pytest.raises(TransportError, match="not SHA256:AAAA"):
        enroll(device, fingerprint="SHA256:AAAA", confirm=lambda *question: True)
    assert list_devices() == []
    assert HostKeys().find(SshAddress.parse(device.uri)) is None


def test_a_fingerprint_asks_nothing_and_goes_with_ssh_alone(server: SshServer) -> None:
    enroll(Device("kitchen", _uri(server)), fingerprint=server.host_key.fingerprint)
    assert HostKeys().find(SshAddress.parse(_uri(server))) == server.host_key
    with pytest.raises(InputError, match="has no host key"):
        enroll(Device("attic", "local:"), fingerprint="SHA256:AAAA")


def test_the_host_key_is_forgotten_with_the_last_device_at_that_address(server: SshServer) -> None:
    for name in ("kitchen", "hall"):
        enroll(Device(name, _uri(server)), fingerprint=server.host_key.fingerprint)
    dismiss("kitchen")
    assert HostKeys().find(SshAddress.parse(_uri(server))) == server.host_key
    dismiss("hall")
    assert HostKeys().find(SshAddress.parse(_uri(server))) is None


def test_the_command_does_not_trust_a_key_when_nobody_can_be_asked(server: SshServer) -> None:
    asked = CliRunner().invoke(cli, ["device", "add", "kitchen", _uri(server)])
    assert asked.exit_code == 2
    assert f"--fingerprint {server.host_key.fingerprint}" in asked.output
    assert list_devices() == []


@pytest.mark.ssh
@pytest.mark.skipif(not HAS_OPENSSH, reason="there is no sshd")
@pytest.mark.parametrize("engine", ["litert", "tflite"])
def test_the_whole_job_over_an_ordinary_sshd(tmp_path: Path, engine: str) -> None:
    with openssh_server(tmp_path / "server", path=os.defpath) as server:
        key = server.host_key.fingerprint
        call("device", "add", "kitchen", _uri(server), "--identity", server.client_key, "--fingerprint", key)
        whole_job("kitchen", engine, tmp_path)
        assert not (server.folder / "home").exists()
