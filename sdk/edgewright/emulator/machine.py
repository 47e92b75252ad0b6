"""One QEMU per board: its command line, whether it runs, switching it on and off.

A board's folder holds kernel, initrd, disk, the keys and power (a FIFO that the board's power switch listens to).
While its QEMU runs there are also pid (locked by it), console.log, and serial (a link to the console's /dev/pts/N).

QEMU holds a lock on its pid file for as long as it lives, and the kernel tells who holds it. That answer cannot be
stale, as a number in a file can: a process that was given the number later holds no lock, and is never signalled.
"""

import fcntl
import os
import re
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import DeviceError, TransportError
from .host import find_tool

HOST = "127.0.0.1"
USER = "pi"
CPUS = ("cortex-a53", "cortex-a72", "cortex-a76")  # Raspberry Pi 3 and Zero 2, 4, 5

_PORT_TAKEN = "Could not set up host forwarding rule"
_GREETING_TIMEOUT_S, _GREETING_LIMIT_S = 2.0, 30.0
_SWITCH_OFF_S = 20.0
_PLUG_S = 5.0
_LOCK = struct.Struct("@hhqqi0q")  # struct flock of 64-bit Linux


@dataclass(frozen=True)
class Hardware:
    """What a board is made of. network: whether it reaches the host's network, and the internet behind it."""

    memory_mb: int = 1024
    cpus: int = 2
    cpu: str = "cortex-a72"
    network: bool = False


class PortTakenError(Exception):
    """Another program listens on the port that was to be the board's."""


def qemu_arguments(folder: Path, hardware: Hardware, ssh_port: int) -> list[str]:
    """What to start QEMU with; it then goes to the background by itself."""
    network = f"user,id=net,ipv6=off,restrict={'off' if hardware.network else 'on'}"
    arguments = {
        "-name": folder.name,
        "-machine": "virt",
        "-accel": "tcg,thread=multi",
        "-cpu": hardware.cpu,
        "-smp": str(hardware.cpus),
        "-m": str(hardware.memory_mb),
        "-kernel": str(folder / "kernel"),
        "-initrd": str(folder / "initrd"),
        "-append": "console=ttyS0 quiet panic=-1",
        "-pidfile": str(folder / "pid"),
        "-display": "none",
        "-monitor": "none",
        "-netdev": f"{network},hostfwd=tcp:{HOST}:{ssh_port}-:22",
    }
    devices = [
        *("-drive", f"if=none,id=disk,format=raw,werror=report,file={_value(folder / 'disk')}"),
        *("-device", "virtio-blk-device,drive=disk"),
        *("-device", "virtio-net-device,netdev=net"),
        *("-device", "virtio-rng-device"),
        *("-chardev", f"pty,id=console,logappend=off,logfile={_value(folder / 'console.log')}"),
        # A 16550, as the Pi's smaller UART is one: QEMU hands its PL011 a single byte at a time, 4 kB/s in all.
        *("-device", "pci-serial,chardev=console"),
        *("-chardev", f"pipe,id=power,path={_value(folder / 'power')}"),
        *("-device", "virtio-serial-device"),
        *("-device", "virtserialport,chardev=power"),
    ]
    for name in ("host_key", "authorized_keys", "hostname"):
        devices += ["-fw_cfg", f"name=opt/edgewright/{name},file={_value(folder / name)}"]
    flags = ["-nodefaults", "-no-user-config", "-no-reboot", "-daemonize"]
    return [*(part for pair in arguments.items() for part in pair), *devices, *flags]


def _value(path: Path) -> str:
    """A path inside of an option: QEMU reads two commas as one."""
    return str(path).replace(",", ",,")


def running_pid(folder: Path) -> int | None:
    """The board's QEMU, if it runs on this machine."""
    pid_file = folder / "pid"
    try:
        descriptor = os.open(pid_file, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    finally:
        os.close(descriptor)
    kind, _, _, _, pid = _LOCK.unpack(answer)
    if kind == fcntl.F_UNLCK:
        return None
    # On a network file system the holder may be another machine's process, whose number says nothing here.
    try:
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return pid if os.fsencode(pid_file) in command_line else None


def switch_on(folder: Path, hardware: Hardware, ssh_port: int) -> None:
    """Start QEMU in the background. Raises PortTakenError; DeviceError where QEMU refuses."""
    (folder / "serial").unlink(missing_ok=True)
    process = subprocess.Popen(
        [str(find_tool("qemu-system-aarch64")), *qemu_arguments(folder, hardware, ssh_port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C is ours to handle
    )
    try:
        stdout, stderr = process.communicate()
    except BaseException:
        process.communicate()  # it takes a moment, and a board half switched on could not be switched off
        raise
    if _PORT_TAKEN in stderr:
        raise PortTakenError
    if process.returncode != 0:
        reason = (stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise DeviceError(
            f"QEMU did not start {folder.name} ({reason[-300:]}): try less memory or another CPU, or update QEMU."
        )
    terminal = re.search(r"/dev/\S+", stdout)
    if terminal:
        (folder / "serial").symlink_to(terminal[0])


def wait_until_booted(folder: Path, ssh_port: int, timeout_s: float) -> None:
    """Return when the board's SSH server answers. Raises TransportError after ``timeout_s``, or when QEMU ends."""
    end, patience_s = time.monotonic() + timeout_s, _GREETING_TIMEOUT_S
    tried = time.monotonic()
    while not _greets(ssh_port, patience_s):
        if time.monotonic() > tried + patience_s:
            # Each try costs the board a new process: on a busy machine short ones would never let it finish one.
            patience_s = min(2 * patience_s, _GREETING_LIMIT_S)
        if running_pid(folder) is None:
            raise TransportError(f"{folder.name} switched itself off while booting. {_last_words(folder)}")
        if time.monotonic() > end:
            raise TransportError(
                f"{folder.name} did not boot within {timeout_s:g} s: is this machine very busy? Then allow it more "
                f"time. {_last_words(folder)}"
            )
        time.sleep(0.05)
        tried = time.monotonic()


def switch_off(folder: Path) -> None:
    """Let the board shut down; pull its plug if it does not. Nothing happens where it is off already."""
    with _handle(folder) as process:
        if process is not None:
            with suppress(OSError):  # nobody listens: QEMU is on its way out
                descriptor = os.open(folder / "power", os.O_WRONLY | os.O_NONBLOCK)
                with os.fdopen(descriptor, "w") as power:
                    power.write("off\n")
            if not _ends(process, _SWITCH_OFF_S):
                _pull_plug(process)
    (folder / "serial").unlink(missing_ok=True)  # that terminal may soon be another program's


def cut_power(folder: Path) -> None:
    """Pull the board's plug: what it had not written to its disk is lost."""
    with _handle(folder) as process:
        if process is not None:
            _pull_plug(process)
    (folder / "serial").unlink(missing_ok=True)


@contextmanager
def _handle(folder: Path) -> Iterator[int | None]:
    """A descriptor of the board's QEMU that stays its own even when it ends and its number goes to another process."""
    process = None
    pid = running_pid(folder)
    if pid is not None:
        with suppress(ProcessLookupError):
            process = os.pidfd_open(pid)
    try:
        yield process if running_pid(folder) == pid else None
    finally:
        if process is not None:
            os.close(process)


def _pull_plug(process: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            signal.pidfd_send_signal(process, number)
        except ProcessLookupError:
            return
        if _ends(process, _PLUG_S):
            return


def _ends(process: int, timeout_s: float) -> bool:
    return bool(select.select([process], [], [], timeout_s)[0])


def _greets(ssh_port: int, timeout_s: float) -> bool:
    # QEMU accepts a connection at once; only the board's own greeting shows that its SSH server is there.
    try:
        with socket.create_connection((HOST, ssh_port), timeout=timeout_s) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _last_words(folder: Path) -> str:
    try:
        console = (folder / "console.log").read_text("utf-8", "replace")
    except FileNotFoundError:
        console = ""
    readable = ("".join(filter(str.isprintable, line)).rstrip() for line in console.splitlines())
    lines = [line for line in readable if line][-8:]
    return "Its console's last lines:\n" + "\n".join(lines) if lines else "Its console said nothing."
