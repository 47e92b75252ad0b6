"""Boards in a box: create, start, stop, list and remove."""

import json
import os
import re
import shutil
import socket
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from edgewright_runtime.disk import replacing
from edgewright_runtime.errors import storage_errors

from ..errors import DeviceError, InputError
from ..progress import Progress, part, silent
from .build import image, is_built
from .host import BUILD_TOOLS, RUN_TOOLS, boards_folder, locked, require, run
from .machine import (
    CPUS,
    HOST,
    USER,
    Hardware,
    PortTakenError,
    cut_power,
    running_pid,
    switch_off,
    switch_on,
    wait_until_booted,
)

BOOT_TIMEOUT_S = 180.0  # 5 s on two free cores
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_PORT_TRIES = 8
_T = TypeVar("_T")


@dataclass(frozen=True)
class Settings:
    """What board.json keeps of a board."""

    hardware: Hardware
    ssh_port: int
    host_key_fingerprint: str


@dataclass(frozen=True)
class EmulatedBoard:
    """A board as it was when asked for.

    identity_file: the private key that opens ``user``'s account; host_key_fingerprint: as OpenSSH writes it,
    "SHA256:…"; serial: the console, a link to a terminal device while the board runs, where ``user`` logs in with the
    password raspberry.
    """

    name: str
    ssh_port: int
    identity_file: Path
    host_key_fingerprint: str
    serial: Path
    memory_mb: int
    running: bool
    ssh_host: str = HOST
    user: str = USER


def create(
    name: str,
    *,
    memory_mb: int = 1024,
    cpus: int = 2,
    cpu: str = "cortex-a72",
    network: bool = False,
    boot_timeout_s: float = BOOT_TIMEOUT_S,
    progress: Progress = silent,
) -> EmulatedBoard:
    """Make a board with a disk of its own and boot it. The image of all boards is built the first time.

    memory_mb: at least 256; cpus: 1 to 8; cpu: cortex-a53 (Raspberry Pi 3, Zero 2), cortex-a72 (4) or cortex-a76 (5);
    network: whether the board reaches the host's network and the internet. A board that fails to boot is removed.

    Raises InputError for a malformed or taken name or an impossible option, DeviceError for a missing tool or a failed
    build, TransportError where the board does not boot, StorageError where a folder cannot be written.
    """
    folder = _folder(name)
    hardware = _hardware(memory_mb, cpus, cpu, network)
    require(RUN_TOOLS if is_built() else RUN_TOOLS | BUILD_TOOLS)
    with locked(folder):
        if folder.exists():
            raise InputError(f"There is a board called {name} already: start it, remove it, or choose another name.")
        source = image(part(progress, 0.0, 0.8))
        progress("making the board", 0.8)
        _make(folder, source, hardware)
        try:
            progress("booting", 0.85)
            _boot(folder, boot_timeout_s)
        except BaseException:
            shutil.rmtree(folder)
            raise
        progress("done", 1.0)
        return _board(folder)


def start(name: str, *, boot_timeout_s: float = BOOT_TIMEOUT_S) -> EmulatedBoard:
    """Boot a board with the disk that it was stopped with; one that runs is left alone.

    Its SSH port may be another one than before, where that one has been taken. Raises DeviceError, TransportError.
    """
    require(RUN_TOOLS)
    with _held(name) as folder:
        if running_pid(folder) is None:
            _boot(folder, boot_timeout_s)
        return _board(folder)


def stop(name: str) -> EmulatedBoard:
    """Shut a board down; its disk stays. Raises DeviceError where there is no such board."""
    with _held(name) as folder:
        switch_off(folder)
        return _board(folder)


def remove(name: str) -> None:
    """Switch a board off and delete it with its disk. Raises DeviceError where there is no such board."""
    with _held(name) as folder:
        cut_power(folder)
        gone = folder.with_name(f".{name}.removed")  # no moment shows a board without half of its files
        with storage_errors(f"delete {folder}"):
            shutil.rmtree(gone, ignore_errors=True)
            folder.rename(gone)
            shutil.rmtree(gone)


def list_boards() -> list[EmulatedBoard]:
    """All boards, sorted by name."""
    return _each(_board)


def find_board(name: str) -> EmulatedBoard:
    """Raises DeviceError where there is no such board."""
    return _board(_existing(name))


def _make(folder: Path, source: Path, hardware: Hardware) -> None:
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    with storage_errors(f"make {folder}"):
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        try:
            files = [source / name for name in ("kernel", "initrd", "disk")]
            run(
                ["cp", "--reflink=auto", "--sparse=always", *files, unfinished],
                what=f"Copying the image for {folder.name}",
                remedy="see what is wrong with that disk",
            )
            for key in ("host_key", "identity"):
                run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", folder.name, "-f", unfinished / key],
                    what="Making an SSH key",
                    remedy="see what ssh-keygen lacks",
                )
            (unfinished / "identity.pub").rename(unfinished / "authorized_keys")
            (unfinished / "hostname").write_text(folder.name + "\n")
            os.mkfifo(unfinished / "power", 0o600)
            _write_settings(unfinished, Settings(hardware, _free_port(), _fingerprint(unfinished / "host_key.pub")))
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _boot(folder: Path, timeout_s: float) -> None:
    settings = _read_settings(folder)
    try:
        for _ in range(_PORT_TRIES):
            try:
                switch_on(folder, settings.hardware, settings.ssh_port)
                break
            except PortTakenError:
                settings = replace(settings, ssh_port=_free_port())
                _write_settings(folder, settings)
        else:
            raise DeviceError(f"No free port was found for {folder.name}'s SSH server: end some network programs.")
        wait_until_booted(folder, settings.ssh_port, timeout_s)
    except BaseException:
        cut_power(folder)
        raise


def _free_port() -> int:
    """A free port that no board, not even one that is off, calls its own. It may be taken a moment later."""
    ours = {settings.ssh_port for settings in _each(_read_settings)}
    while True:
        with socket.create_server((HOST, 0)) as server:
            port = int(server.getsockname()[1])
        if port not in ours:
            return port


def _fingerprint(public_key: Path) -> str:
    digest = sha256(b64decode(public_key.read_text().split()[1])).digest()
    return "SHA256:" + b64encode(digest).decode().rstrip("=")


def _write_settings(folder: Path, settings: Settings) -> None:
    with replacing(folder / "board.json") as out:
        out.write(json.dumps({"schema": 1, **asdict(settings)}, indent=1).encode())


def _read_settings(folder: Path) -> Settings:
    path = folder / "board.json"
    try:
        document: Any = json.loads(path.read_bytes())
        return Settings(
            Hardware(**document["hardware"]), int(document["ssh_port"]), str(document["host_key_fingerprint"])
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeviceError(f"Cannot read {path} ({error}): delete {folder} and create the board again.") from error


def _board(folder: Path) -> EmulatedBoard:
    settings = _read_settings(folder)
    return EmulatedBoard(
        name=folder.name,
        ssh_port=settings.ssh_port,
        identity_file=folder / "identity",
        host_key_fingerprint=settings.host_key_fingerprint,
        serial=folder / "serial",
        memory_mb=settings.hardware.memory_mb,
        running=running_pid(folder) is not None,
    )


def _each(read: Callable[[Path], _T]) -> list[_T]:
    """What ``read`` says of every board. One that is removed meanwhile is none."""
    answers = []
    for folder in _folders():
        try:
            answers.append(read(folder))
        except DeviceError:
            if folder.exists():
                raise
    return answers


def _folders() -> list[Path]:
    with suppress(FileNotFoundError):
        return sorted(path for path in boards_folder().iterdir() if _NAME.match(path.name))
    return []


def _folder(name: str) -> Path:
    if not _NAME.match(name):
        raise InputError(f"{name!r} is no name for a board: use up to 64 letters, digits, - and _.")
    return boards_folder() / name


def _existing(name: str) -> Path:
    folder = _folder(name)
    if folder.exists():
        return folder
    names = [path.name for path in _folders()]
    close = get_close_matches(name, names, n=1)
    if close:
        remedy = f"did you mean {close[0]}?"
    elif names:
        remedy = f"there are {', '.join(names)}."
    else:
        remedy = "there are none yet."
    raise DeviceError(f"No emulated board is called {name}: {remedy}")


@contextmanager
def _held(name: str) -> Iterator[Path]:
    with locked(_existing(name)):
        yield _existing(name)  # another may have removed it while we waited


def _hardware(memory_mb: int, cpus: int, cpu: str, network: bool) -> Hardware:
    if memory_mb < 256:
        raise InputError(f"A board cannot do with {memory_mb} MB of memory: give it 256 or more.")
    if not 1 <= cpus <= 8:
        raise InputError(f"A board has 1 to 8 processors, not {cpus}.")
    if cpu not in CPUS:
        raise InputError(f"No processor is called {cpu}: choose one of {', '.join(CPUS)}.")
    return Hardware(memory_mb, cpus, cpu, network)
