"""The SSH transport against real servers: asyncssh's own by default, OpenSSH's with ``-m ssh``."""

import inspect
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

import asyncssh
import pytest
import unit.sdk.test_transports as contract
from e2e.ssh_server import HAS_OPENSSH, SshServer, asyncssh_server, free_port, openssh_server
from e2e.wire import Wire, wire_to

from edgewright.engines import choose
from edgewright.errors import DeviceError, InputError, StorageError, TransportError
from edgewright.probe import probe
from edgewright.remote import Remote
from edgewright.transports import ssh_connect
from edgewright.transports.host_keys import HostKey, HostKeys
from edgewright.transports.ssh import SshTransport
from edgewright.transports.ssh_address import DEFAULT_HOME, SshAddress
from edgewright.transports.ssh_connect import fetch_host_key

OPENSSH = [pytest.mark.ssh, pytest.mark.skipif(not HAS_OPENSSH, reason="there is no sshd")]

# Every test of the contract, with the fixture ``transport`` of this file.
globals().update(
    {
        name: test
        for name, test in vars(contract).items()
        if name.startswith("test_") and "transport" in inspect.signature(test).parameters
    }
)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own devices, keys and agent stay out of it."""
    monkeypatch.setenv("EDGEWRIGHT_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture(
    scope="module", params=[asyncssh_server, pytest.param(openssh_server, marks=OPENSSH)], ids=["asyncssh", "openssh"]
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    make: Callable[[Path], AbstractContextManager[SshServer]] = request.param
    with make(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def address(server: SshServer, tmp_path: Path) -> SshAddress:
    return server.address(tmp_path / "device")


@pytest.fixture
def transport(server: SshServer, address: SshAddress) -> Iterator[SshTransport]:
    opened = SshTransport(address, identity=server.client_key)
    yield opened
    opened.close()


@pytest.fixture
def wire(server: SshServer) -> Iterator[Wire]:
    with wire_to(server.port) as running:
        yield running


@pytest.fixture
def wired(server: SshServer, wire: Wire, tmp_path: Path) -> Iterator[SshTransport]:
    """A transport on the wire, that loses its patience after a second."""
    address = SshServer(server.folder, wire.port).address(tmp_path / "device")
    opened = SshTransport(address, identity=server.client_key, silence_s=1.0)
    yield opened
    opened.close()


# ---- commands


def test_the_python_that_is_found_runs(transport: SshTransport) -> None:
    script = "import sys; assert sys.version_info >= (3, 9); print(sys.executable)"
    assert transport.run([transport.python, "-c", script], timeout_s=10).stdout.decode().strip() == transport.python


def test_commands_start_in_the_home_folder(transport: SshTransport, tmp_path: Path) -> None:
    assert transport.home == PurePosixPath(tmp_path / "device")
    assert transport.run(["pwd"], timeout_s=10).stdout.decode() == f"{transport.home}\n"


def test_a_home_that_is_not_given_is_below_the_login_folder(server: SshServer, address: SshAddress) -> None:
    transport = SshTransport(replace(address, home=DEFAULT_HOME), identity=server.client_key)
    assert transport.home.is_absolute()
    assert transport.home.name == ".edgewright"
    transport.close()


@pytest.mark.ssh
def test_20_mb_pass_both_ways(transport: SshTransport) -> None:
    content = os.urandom(20 << 20)
    completed = transport.run(["sh", "-c", "cat; echo done >&2"], timeout_s=60, input=content)
    assert completed.stdout == content
    assert completed.stderr == b"done\n"


def test_a_program_need_not_read_its_input(transport: SshTransport) -> None:
    assert transport.run(["true"], timeout_s=30, input=bytes(5 << 20)).returncode == 0


def test_a_line_of_stderr_is_told_while_the_program_runs(transport: SshTransport, tmp_path: Path) -> None:
    script = "echo one >&2; until [ -e heard ]; do sleep 0.01; done"
    heard: list[bytes] = []

    def hear(line: bytes) -> None:
        heard.append(line)
        (tmp_path / "device" / "heard").touch()

    assert transport.run(["sh", "-c", script], timeout_s=10, on_stderr_line=hear).returncode == 0
    assert heard == [b"one"]


def test_several_threads_share_a_connection(transport: SshTransport) -> None:
    def echo(number: int) -> bytes:
        return transport.run(["echo", str(number)], timeout_s=30).stdout

    with ThreadPoolExecutor(20) as threads:
        assert [*threads.map(echo, range(40))] == [f"{number}\n".encode() for number in range(40)]


def test_text_that_no_program_can_be_given(transport: SshTransport) -> None:
    with pytest.raises(InputError, match="remove that character"):
        transport.run(["echo", "a\0b"], timeout_s=10)


def test_a_home_that_cannot_be_made(server: SshServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    transport = SshTransport(server.address(tmp_path / "file" / "home"), identity=server.client_key)
    with pytest.raises(StorageError, match=r"Cannot use .*file/home on the device"):
        transport.run(["true"], timeout_s=10)
    transport.close()


# ---- ends


def test_after_a_time_out_no_process_is_left(transport: SshTransport, tmp_path: Path) -> None:
    script = "sleep 60 & echo $! > child; echo started >&2; wait"
    heard: list[bytes] = []
    with pytest.raises(TransportError, match=r"sh did not end within 0\.5 s"):
        transport.run(["sh", "-c", script], timeout_s=0.5, on_stderr_line=heard.append)
    assert heard == [b"started"]
    _assert_ends(int((tmp_path / "device/child").read_text()))
    assert transport.run(["true"], timeout_s=10).returncode == 0  # the connection is still good


def test_after_ctrl_c_no_process_is_left(transport: SshTransport, tmp_path: Path) -> None:
    def interrupt(line: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transport.run(["sh", "-c", "echo $$ > pid; echo x >&2; sleep 60"], timeout_s=60, on_stderr_line=interrupt)
    _assert_ends(int((tmp_path / "device/pid").read_text()))


CLIENT = """\
import sys
from pathlib import Path
from edgewright.transports.ssh import SshTransport
from edgewright.transports.ssh_address import DEFAULT_HOME, SshAddress
transport = SshTransport(SshAddress.parse(sys.argv[1]), identity=Path(sys.argv[2]))
argv = ["sh", "-c", "trap '' TERM HUP INT PIPE; echo $$ >&2; sleep 600"]
transport.run(argv, timeout_s=600, on_stderr_line=lambda line: print(line.decode(), flush=True))
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_client_that_is_gone_takes_its_program_along(
    server: SshServer, address: SshAddress, end: signal.Signals
) -> None:
    argv = [sys.executable, "-c", CLIENT, address.uri, str(server.client_key)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        assert client.stdout is not None
        pid = int(client.stdout.readline())
        os.kill(pid, 0)
        client.send_signal(end)
        _assert_ends(pid)


def test_a_pulled_wire_is_told_and_ends_the_program(wired: SshTransport, wire: Wire, tmp_path: Path) -> None:
    with pytest.raises(
        TransportError, match=r"broke .* before sh ended: see whether the device has power and a network"
    ):
        wired.run(
            ["sh", "-c", "echo $$ > pid; echo x >&2; sleep 60"], timeout_s=60, on_stderr_line=lambda line: wire.pull()
        )
    _assert_ends(int((tmp_path / "device/pid").read_text()))


@pytest.mark.ssh
def test_a_quiet_program_is_no_silence(wired: SshTransport) -> None:
    assert wired.run(["sleep", "2"], timeout_s=60).returncode == 0


def test_a_cut_wire_is_told_and_not_mended_in_secret(wired: SshTransport, wire: Wire, tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=r"The connection to .* broke .* before sh ended"):
        wired.run(
            ["sh", "-c", "echo $$ > pid; echo x >&2; sleep 60"], timeout_s=60, on_stderr_line=lambda line: wire.cut()
        )
    _assert_ends(int((tmp_path / "device/pid").read_text()))
    with pytest.raises(TransportError, match=r"The connection to .* broke"):
        wired.run(["true"], timeout_s=10)


def test_a_wire_cut_within_a_file_leaves_the_old_one(wired: SshTransport, wire: Wire, tmp_path: Path) -> None:
    remote, folder = PurePosixPath("folder/file"), tmp_path / "device/folder"
    (tmp_path / "file").write_bytes(b"old")
    wired.put(tmp_path / "file", remote)
    (tmp_path / "file").write_bytes(os.urandom(3 << 20))
    wire.cut_after = 1 << 20
    with pytest.raises(TransportError, match=r"broke .* before the copy to folder/file ended"):
        wired.put(tmp_path / "file", remote)
    _until(lambda: [path.name for path in folder.iterdir()] == ["file"])
    assert (folder / "file").read_bytes() == b"old"


def test_after_close_nothing_runs(transport: SshTransport) -> None:
    transport.close()
    with pytest.raises(TransportError, match="is closed: connect again"):
        transport.run(["true"], timeout_s=10)


# ---- files


def test_a_file_that_can_be_compressed(transport: SshTransport, tmp_path: Path) -> None:
    content = b"compressible " * 100_000
    (tmp_path / "file").write_bytes(content)
    transport.put(tmp_path / "file", PurePosixPath("file"))
    assert (tmp_path / "device/file").read_bytes() == content


@pytest.mark.parametrize("size", [0, 1, 100, 65536, 65537])
def test_files_of_any_size(transport: SshTransport, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(os.urandom(size))
    transport.put(tmp_path / "file", PurePosixPath("file"))
    transport.get(PurePosixPath("file"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()


def test_files_with_names_that_no_shell_likes(transport: SshTransport, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for name in ("-rf", "a b", "'\"", "$HOME", "a\nb", "ü 中", "*", "x" * 250):
        transport.put(tmp_path / "file", transport.home / "names" / name)
        assert (tmp_path / "device/names" / name).read_bytes() == b"x"


def test_a_full_disk_is_a_sentence(server: SshServer, tmp_path: Path) -> None:
    with _small_disk(tmp_path / "device"):
        transport = SshTransport(server.address(tmp_path / "device"), identity=server.client_key)
        (tmp_path / "file").write_bytes(b"old")
        transport.put(tmp_path / "file", PurePosixPath("file"))
        (tmp_path / "file").write_bytes(os.urandom(3 << 20))
        with pytest.raises(StorageError, match="Cannot write file on the device: no space is left on that disk"):
            transport.put(tmp_path / "file", PurePosixPath("file"))
        assert [(path.name, path.read_bytes()) for path in (tmp_path / "device").iterdir()] == [("file", b"old")]
        subprocess.run(["mount", "-o", "remount,ro", tmp_path / "device"], check=True)
        with pytest.raises(StorageError, match="the file system is read-only"):
            transport.put(tmp_path / "file", PurePosixPath("file"))
        transport.close()


# ---- who is there


def test_an_unknown_host_key_is_refused_before_anything_is_sent(wire: Wire) -> None:
    with pytest.raises(
        TransportError, match=r"is not in .*/config/known_hosts: run `edgewright device add kitchen ssh://pi@127"
    ):
        SshTransport(SshAddress("127.0.0.1", "pi", wire.port), name="kitchen")


def test_a_changed_host_key_is_refused(server: SshServer, address: SshAddress) -> None:
    other = _host_key("ssh-ed25519")
    HostKeys().pin(address, other)
    with pytest.raises(TransportError) as raised:
        SshTransport(address, name="kitchen", identity=server.client_key)
    message = str(raised.value)
    assert f"has changed: it is {server.host_key.fingerprint}, and {HostKeys().path} has {other.fingerprint}" in message
    assert f"only if the device was installed anew, run `edgewright device add kitchen {address.uri}` again" in message


def test_a_host_key_of_another_type_is_a_changed_one(server: SshServer, address: SshAddress) -> None:
    HostKeys().pin(address, _host_key("ssh-rsa"))
    with pytest.raises(TransportError, match=f"has changed: it is {re.escape(server.host_key.fingerprint)}"):
        SshTransport(address, identity=server.client_key)


def test_a_host_key_is_shown(server: SshServer, address: SshAddress) -> None:
    assert fetch_host_key(address) == server.host_key
    assert fetch_host_key(address, server.host_key.fingerprint) == server.host_key
    with pytest.raises(TransportError, match=rf"is {re.escape(server.host_key.fingerprint)}, not SHA256:other: see"):
        fetch_host_key(address, "SHA256:other")


def test_a_user_or_key_that_the_device_does_not_know(server: SshServer, address: SshAddress, tmp_path: Path) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519", comment="stranger")
    stranger.write_private_key(tmp_path / "stranger")
    with pytest.raises(TransportError) as raised:
        SshTransport(address, identity=tmp_path / "stranger")
    message = str(raised.value)
    assert f"({stranger.get_fingerprint()} stranger): install one there with `ssh-copy-id -p {server.port}" in message
    assert "PRIVATE" not in message


def test_nobody_who_has_no_key_is_asked_for_a_password(address: SshAddress) -> None:
    with pytest.raises(
        TransportError, match=r"There is no key to offer .* uses no passwords: make one with `ssh-keygen`"
    ):
        SshTransport(address)


def test_a_key_in_the_usual_place_is_found(server: SshServer, address: SshAddress, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    shutil.copy(server.client_key, tmp_path / ".ssh/id_ed25519")
    SshTransport(address).close()


def test_the_users_own_ssh_config_is_honoured(server: SshServer, address: SshAddress, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text(
        f"Host pie\n HostName 127.0.0.1\n Port {server.port}\n User {address.user}\n IdentityFile {server.client_key}\n"
        " RequestTTY force\n RemoteCommand false\n"
    )
    HostKeys().pin(SshAddress("pie"), server.host_key)
    transport = SshTransport(SshAddress("pie", home=PurePosixPath(tmp_path / "device")))
    assert transport.run(["tty"], timeout_s=10).stdout == b"not a tty\n"
    transport.close()


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
@pytest.mark.parametrize("form", ["openssh", "pkcs8-pem"])
def test_keys_of_many_kinds_are_offered(address: SshAddress, tmp_path: Path, algorithm: str, form: str) -> None:
    key = asyncssh.generate_private_key(algorithm)
    key.write_private_key(tmp_path / "key", form)
    with pytest.raises(TransportError, match=re.escape(key.get_fingerprint())):
        SshTransport(address, identity=tmp_path / "key")


def test_a_locked_key_that_does_not_say_which_it_is(address: SshAddress, tmp_path: Path) -> None:
    asyncssh.generate_private_key("ssh-rsa").write_private_key(tmp_path / "key", "pkcs8-pem", passphrase="secret")
    with pytest.raises(InputError, match=r"Passphrase must be specified .*: correct that, or name another key"):
        SshTransport(address, identity=tmp_path / "key")


@pytest.mark.parametrize("content", [None, "no key", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"])
def test_an_identity_that_is_no_key(address: SshAddress, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content)
    with pytest.raises(InputError, match="key"):
        SshTransport(address, identity=tmp_path / "key")


def test_a_malformed_ssh_config(address: SshAddress, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Port kitchen\n")
    with pytest.raises(InputError, match=r"Cannot use your SSH keys or ~/.ssh/config"):
        SshTransport(address)


# ---- whether anybody is there


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_where_nobody_listens(host: str) -> None:
    with pytest.raises(
        TransportError, match=r"Cannot reach .*: the connection is refused: see whether an SSH server runs"
    ):
        SshTransport(_pinned(SshAddress(host, "pi", free_port())))


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(TransportError, match=r"Cannot reach pi@kitchen\.invalid: no address is known by that name"):
        SshTransport(_pinned(SshAddress("kitchen.invalid", "pi")))


def test_a_device_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_connect, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(TransportError, match=r"no answer within 0\.2 s: see whether it is switched on"):
            SshTransport(_pinned(SshAddress("127.0.0.1", "pi", port)))


def test_a_server_of_another_kind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: listener.accept()[0].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 2000))
        with pytest.raises(TransportError, match=r"Cannot reach .*: see what `ssh "):
            SshTransport(_pinned(SshAddress("127.0.0.1", "pi", listener.getsockname()[1])))


# ---- what only OpenSSH does


def _openssh(function: Callable[..., None]) -> Callable[..., None]:
    for mark in OPENSSH:
        function = mark(function)
    return function


@_openssh
def test_what_a_login_shell_says_is_not_the_programs_output(tmp_path: Path) -> None:
    with openssh_server(tmp_path / "server") as server:
        (tmp_path / "server/.bashrc").write_text("echo Welcome to the kitchen\n")
        transport = SshTransport(server.address(), identity=server.client_key)
        assert transport.run(["echo", "hello"], timeout_s=10).stdout == b"hello\n"
        transport.close()


@_openssh
def test_a_user_who_may_not_run_commands(tmp_path: Path) -> None:
    extra = "ForceCommand echo This account is currently not available.; exit 1\n"
    with (
        openssh_server(tmp_path / "server", extra) as server,
        pytest.raises(TransportError, match=r"does not run commands \(This account is currently not available"),
    ):
        SshTransport(server.address(), identity=server.client_key)


@_openssh
@pytest.mark.parametrize("version", [None, "3.8"])
def test_a_device_without_a_new_python(tmp_path: Path, version: str | None) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "sh").symlink_to("/bin/sh")
    if version is not None:
        (programs / "python3").write_text("#!/bin/sh\nexit 1\n")
        (programs / "python3").chmod(0o755)
    for name in ("uname", "cat"):
        (programs / name).symlink_to(str(shutil.which(name)))
    with openssh_server(tmp_path / "server", path=str(programs)) as server:
        address = server.address(tmp_path / "device")
        with Remote("router", SshTransport(address, identity=server.client_key)) as router:
            found = probe(router)
            assert (found.machine, found.pythons) == (os.uname().machine, ())
            with pytest.raises(DeviceError, match=r"router has no Python: install Python 3\.9 or later there"):
                choose("router", found)
            for call in (
                lambda: router.bootstrap("purge"),
                lambda: router.transport.run(["sh"], timeout_s=10, input=b"true"),
                lambda: router.transport.put(Path(__file__), PurePosixPath("file")),
                lambda: router.transport.get(PurePosixPath("file"), tmp_path / "file"),
            ):
                with pytest.raises(DeviceError, match=r"has no Python 3\.9 or later: install one there"):
                    call()
        assert not (tmp_path / "device").exists()


@_openssh
def test_a_jump_host(tmp_path: Path) -> None:
    with openssh_server(tmp_path / "jump") as jump, openssh_server(tmp_path / "server") as server:
        address = server.address(tmp_path / "device")
        (tmp_path / ".ssh").mkdir()
        (tmp_path / ".ssh/config").write_text(
            f"Host bastion\n HostName 127.0.0.1\n Port {jump.port}\n IdentityFile {jump.client_key}\n"
            f"Host pie\n HostName 127.0.0.1\n Port {server.port}\n IdentityFile {server.client_key}\n"
            " ProxyJump bastion\n"
        )
        pie = SshAddress("pie", address.user, None, address.home)
        HostKeys().pin(pie, server.host_key)
        with pytest.raises(TransportError, match=r"Cannot reach .*pie: Host key is not trusted for host 127.0.0.1"):
            SshTransport(pie)  # the jump host's key is not in ~/.ssh/known_hosts
        (tmp_path / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{jump.port} {jump.host_key}\n")
        transport = SshTransport(pie)
        environment = transport.run(["env"], timeout_s=10).stdout.decode()
        assert f"127.0.0.1 {server.port}" in environment  # SSH_CONNECTION
        assert fetch_host_key(pie) == server.host_key
        transport.close()


@_openssh
def test_a_key_with_a_passphrase_comes_from_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with openssh_server(tmp_path / "server") as server, _agent(tmp_path / "agent.sock"):
        address, key, other = server.address(), tmp_path / "locked", tmp_path / "other"
        other.touch(mode=0o600)
        shutil.copy(server.client_key, key)
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", key], check=True)
        with pytest.raises(TransportError, match="one with a passphrase must be in the agent") as raised:
            SshTransport(address, identity=key)
        assert "secret" not in str(raised.value)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent.sock"))
        for number in range(8):  # more than sshd lets a client try, so that only a named one gets in
            asyncssh.generate_private_key("ssh-ed25519", comment=f"number {number}").write_private_key(other)
            subprocess.run(["ssh-add", "-q", other], check=True)
        with pytest.raises(TransportError, match=r"lets none of the keys .*number 0.*number 7"):
            SshTransport(address)
        subprocess.run(["ssh-add", "-q", server.client_key], check=True)
        SshTransport(address, identity=key).close()


# ---- helpers


def _host_key(algorithm: str) -> HostKey:
    return HostKey.parse(asyncssh.generate_private_key(algorithm).export_public_key().decode())


def _pinned(address: SshAddress) -> SshAddress:
    HostKeys().pin(address, _host_key("ssh-ed25519"))
    return address


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("this did not come about within seconds")


def _assert_ends(pid: int) -> None:
    """A killed process whose parent is gone is a zombie until init sees to it."""

    def gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    _until(gone)


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def _agent(path: Path) -> Iterator[None]:
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as agent:
        try:
            _until(path.exists)
            yield
        finally:
            agent.terminate()
