"""SSH servers to test against, on a free loopback port, with throw-away keys: OpenSSH's own, or asyncssh's.

Neither needs root. Both let the user who runs the tests in, with ``client_key`` alone.
"""

import asyncio
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import asyncssh

from edgewright.transports.background import BackgroundLoop
from edgewright.transports.host_keys import HostKey, HostKeys
from edgewright.transports.ssh_address import SshAddress

# The commands find this very Python, and no .bashrc of the user's.
_PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
HAS_OPENSSH = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin") is not None

_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/client_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
Subsystem sftp internal-sftp
SetEnv HOME={folder} PATH={path}
"""


@dataclass(frozen=True)
class SshServer:
    """folder: holds host_key, client_key and their .pub. log: what the server says, where it says anything."""

    folder: Path
    port: int

    @property
    def client_key(self) -> Path:
        return self.folder / "client_key"

    @property
    def host_key(self) -> HostKey:
        return HostKey.parse((self.folder / "host_key.pub").read_text())

    def address(self, home: Path | None = None) -> SshAddress:
        """Of the server, its host key pinned in the configuration folder of this very test."""
        place = SshAddress("127.0.0.1", getpass.getuser(), self.port, PurePosixPath(home or self.folder / "home"))
        HostKeys().pin(place, self.host_key)
        return place


@contextmanager
def openssh_server(folder: Path, extra_config: str = "", path: str = _PATH) -> Iterator[SshServer]:
    """An ordinary sshd. It ends, with all of its sessions, at the end of the block."""
    _make_keys(folder)
    server = SshServer(folder, free_port())
    config = folder / "sshd_config"
    config.write_text(_CONFIG.format(port=server.port, folder=folder, path=path) + extra_config)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own wish, where it is started by root
    program = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert program is not None
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stderr=log)
        try:
            _wait_for(server.port, process)
            yield server
        finally:
            _end_sessions(process.pid)
            process.terminate()
            process.wait()


@contextmanager
def asyncssh_server(folder: Path) -> Iterator[SshServer]:
    """asyncssh's server, in a thread of this process; its commands run in the shell of this user."""
    _make_keys(folder)
    loop = BackgroundLoop()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[folder / "host_key"],
            authorized_client_keys=str(folder / "client_key.pub"),
            process_factory=_run,
            encoding=None,
        )

    acceptor = loop.wait(lambda tell: listen())
    try:
        yield SshServer(folder, acceptor.get_port())
    finally:
        loop.wait(lambda tell: _close(acceptor))
        loop.close()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _make_keys(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("host_key", "client_key"):
        if not (folder / name).exists():
            key = asyncssh.generate_private_key("ssh-ed25519", comment=name)
            key.write_private_key(folder / name)
            key.write_public_key(folder / f"{name}.pub")
            (folder / name).chmod(0o600)


async def _run(process: "asyncssh.SSHServerProcess[bytes]") -> None:
    """A command's streams, as sshd connects them: when the client goes, stdin ends and nothing else happens."""
    pipe = asyncio.subprocess.PIPE
    command, login_folder = process.command or "true", Path.home()
    child = await asyncio.create_subprocess_shell(command, cwd=login_folder, stdin=pipe, stdout=pipe, stderr=pipe)
    assert child.stdin is not None
    feeding = asyncio.create_task(_feed(process.stdin, child.stdin))
    await asyncio.gather(_copy(child.stdout, process.stdout), _copy(child.stderr, process.stderr))
    code = await child.wait()
    feeding.cancel()
    process.exit(code)


async def _feed(source: Any, sink: Any) -> None:
    await _copy(source, sink)
    sink.close()


async def _copy(source: Any, sink: Any) -> None:
    with suppress(OSError, asyncssh.Error):  # whoever listens may be gone
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()


async def _close(acceptor: asyncssh.SSHAcceptor) -> None:
    acceptor.close()
    await acceptor.wait_closed()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(500):
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        if process.poll() is not None:
            break
        time.sleep(0.01)
    raise RuntimeError("sshd did not start: see sshd.log beside its keys")


def _end_sessions(pid: int) -> None:
    """Each is a process group of its own, and sshd lets them run on when it ends."""
    for _ in range(500):
        sessions = _descendants(pid)
        if not sessions:
            return
        for session in sessions:
            with suppress(ProcessLookupError):
                os.kill(session, signal.SIGTERM)
        time.sleep(0.01)


def _descendants(pid: int) -> list[int]:
    """Each session of sshd is a process group of its own."""
    children = []
    with suppress(FileNotFoundError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                children += [child, *_descendants(child)]
    return children
