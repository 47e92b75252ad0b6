"""Flashing over a real SSH connection: how little travels, and what a broken one leaves."""

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from e2e.ssh_server import SshServer, asyncssh_server
from e2e.wire import Wire, wire_to
from unit.models import tiny_bundle, wide_model, write_bundle

from edgewright.devices import Device
from edgewright.errors import TransportError
from edgewright.flash import flash
from edgewright.fleet import side_by_side
from edgewright.remote import Remote
from edgewright.transports import LocalTransport
from edgewright.transports.ssh import SshTransport
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.store import Store

PROTOCOL_BYTES = 20_000  # SSH's own handshake, our commands, the manifest


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own devices, keys and agent stay out of it."""
    monkeypatch.setenv("EDGEWRIGHT_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with asyncssh_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def wire(server: SshServer) -> Iterator[Wire]:
    with wire_to(server.port) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    Remote("device", LocalTransport(tmp_path / "device"), sys.executable).install_runtime()
    return tmp_path / "device"


def _flash(bundle: Path, server: SshServer, wire: Wire, home: Path, budget_bytes: int | None = None) -> None:
    """On a connection of its own, which breaks when more than ``budget_bytes`` go to the device."""
    address = SshServer(server.folder, wire.port).address(home)
    wire.cut_after = budget_bytes
    with closing(SshTransport(address, identity=server.client_key, silence_s=2.0)) as transport:
        flash(bundle, Remote("kitchen", transport, sys.executable))


def _bundle(path: Path, labels: int = 0) -> Path:
    """A megabyte of weights, and labels of 40 kB that hardly shrink."""
    noise = random.Random(labels)
    words = ",".join(f'"{noise.randbytes(500).hex()}"' for _ in range(40))
    sample = np.ones((1, 1, 600), np.float32)
    return write_bundle(path, wide_model(1, 600), [sample], {"labels": f"[{words}]".encode()}, name="model")


def _id_in_use(home: Path) -> str:
    bundle = Bundle.open(Store(home).current("model"))
    bundle.verify()
    return bundle.id


def test_only_what_is_new_travels(server: SshServer, wire: Wire, home: Path, tmp_path: Path) -> None:
    first, second = _bundle(tmp_path / "1.ewb"), _bundle(tmp_path / "2.ewb", labels=1)
    with pytest.raises(TransportError):
        _flash(first, server, wire, home, budget_bytes=1_000_000)
    _flash(first, server, wire, home)
    _flash(first, server, wire, home, budget_bytes=PROTOCOL_BYTES)
    labels = len(Bundle.open(second).read("labels.json"))
    _flash(second, server, wire, home, budget_bytes=PROTOCOL_BYTES + labels)
    assert _id_in_use(home) == Bundle.open(second).id


@pytest.mark.parametrize("sent_bytes", [0, 3_000, 8_000, 15_000, 100_000, 1_000_000, 1_450_000])
def test_a_line_that_breaks_leaves_the_old_model(
    server: SshServer, wire: Wire, home: Path, tmp_path: Path, sent_bytes: int
) -> None:
    old = tiny_bundle(tmp_path / "old.ewb", name="model")
    _flash(old, server, wire, home)
    new = _bundle(tmp_path / "new.ewb")
    with pytest.raises(TransportError):
        _flash(new, server, wire, home, budget_bytes=sent_bytes)
    assert _id_in_use(home) == Bundle.open(old).id
    _flash(new, server, wire, home)
    assert _id_in_use(home) == Bundle.open(new).id


def test_a_dead_device_delays_no_other(server: SshServer, wire: Wire, home: Path, tmp_path: Path) -> None:
    """Its line has been pulled: it is as silent as one without power. The others are done before that is noticed."""
    bundle, done = tiny_bundle(tmp_path / "tiny.ewb", name="model"), threading.Event()

    class Dead(Device):
        def open(self) -> SshTransport:
            wire.pull()
            return SshTransport(SshServer(server.folder, wire.port).address(home), identity=server.client_key)

    class Living(Device):
        def open(self) -> LocalTransport:
            return LocalTransport(home)

    def work(remote: Remote) -> str:
        remote.python = sys.executable
        report = flash(bundle, remote)
        done.set()
        return report.bundle_id

    def reconnect() -> None:
        done.wait(60)
        wire.cut()

    threading.Thread(target=reconnect).start()
    dead, living = side_by_side([Dead("attic", "local:"), Living("kitchen", "local:")], work)
    assert isinstance(dead.error, TransportError)
    assert living.result == _id_in_use(home)


def test_ctrl_c_ends_what_runs_on_every_device(server: SshServer, wire: Wire, home: Path) -> None:
    """Also where one of them does not even answer."""
    begun = threading.Semaphore(0)
    ended: list[str] = []

    addresses = {name: server.address(home / name) for name in ("attic", "kitchen")}
    addresses["cellar"] = SshServer(server.folder, wire.port).address(home)
    wire.pull()

    class OnWire(Device):
        def open(self) -> SshTransport:
            return SshTransport(addresses[self.name], identity=server.client_key)

    def work(remote: Remote) -> None:
        program = "echo $$ > pid; echo >&2; exec sleep 60"
        try:
            remote.transport.run(["sh", "-c", program], timeout_s=60, on_stderr_line=lambda line: begun.release())
        finally:
            ended.append(remote.name)

    def interrupt() -> None:
        for _ in range(2):
            begun.acquire(timeout=30)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        side_by_side([OnWire(name, "local:") for name in ("attic", "cellar", "kitchen")], work)
    assert sorted(ended) == ["attic", "kitchen"]
    for name in ended:
        _wait_for_end(int((home / name / "pid").read_text()))


def _wait_for_end(pid: int) -> None:
    """The far end kills it when it hears that the connection is gone."""
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} is still there")
