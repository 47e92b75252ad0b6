"""A serial line of this machine: two pseudo-terminals and, between them, a relay that can pace, damage and cut it.

pyserial opens the one, a shell or a getty has the other.
"""

import fcntl
import os
import pty
import random
import select
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edgewright.emulator import build

Change = Callable[[bytes], bytes]


class SerialLine:
    """port: for the host; terminal: the device's. bytes_per_s: None for as fast as the machine is; to_device, to_host:
    what the line makes of what passes; cut_after: after how many bytes to the device nothing passes any more."""

    def __init__(self, bytes_per_s: float | None = None) -> None:
        self._host, host_slave = pty.openpty()
        self._device, device_slave = pty.openpty()
        self.port, self.terminal = Path(os.ttyname(host_slave)), Path(os.ttyname(device_slave))
        tty.setraw(host_slave)
        self._slaves = [host_slave, device_slave]  # held open: a port stays there when nobody uses it
        self.bytes_per_s = bytes_per_s
        self.to_device: Change = bytes
        self.to_host: Change = bytes
        self.cut_after: int | None = None
        self.passed = 0
        self._ends = False
        self._threads = [
            threading.Thread(target=self._relay, args=(self._host, self._device, True), daemon=True),
            threading.Thread(target=self._relay, args=(self._device, self._host, False), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def mend(self) -> None:
        """What was cut passes again, and counting starts anew."""
        self.cut_after, self.passed = None, 0

    def speed(self, host: bool) -> int:
        """The constant of the speed that one end is set to."""
        return int(termios.tcgetattr(self._host if host else self._device)[4])

    def start(self, argv: Sequence[str], **environment: str) -> "subprocess.Popen[bytes]":
        """A program that has the device's terminal as its own, as init starts a getty."""
        terminal = os.open(self.terminal, os.O_RDWR | os.O_NOCTTY)
        try:
            return subprocess.Popen(
                argv,
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                env={"PATH": os.environ["PATH"], "TERM": "vt100", **environment},
                cwd=environment.get("HOME"),
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
        finally:
            os.close(terminal)

    def close(self) -> None:
        self._ends = True
        for thread in self._threads:
            thread.join()
        for descriptor in (*self._slaves, self._host, self._device):
            os.close(descriptor)

    def _relay(self, source: int, target: int, to_device: bool) -> None:
        # A paced line has no room but for a few bytes in the chip: what it cannot carry yet stays with the sender.
        due = time.monotonic()
        while not self._ends:
            if not select.select([source], [], [], 0.05)[0]:
                continue
            try:
                data = os.read(source, 64 if self.bytes_per_s else 4096)
            except OSError:  # nobody has that end open
                time.sleep(0.01)
                continue
            if self.bytes_per_s:
                due = max(due, time.monotonic() - 0.1) + len(data) / self.bytes_per_s
                time.sleep(max(0.0, due - time.monotonic()))
            if to_device:
                self.passed += len(data)
            if self.cut_after is not None and self.passed > self.cut_after:
                continue
            data = (self.to_device if to_device else self.to_host)(data)
            with suppress(OSError):
                while data and not self._ends:
                    if select.select([], [target], [], 0.05)[1]:
                        data = data[os.write(target, data) :]


@contextmanager
def serial_line(bytes_per_s: float | None = None) -> Iterator[SerialLine]:
    line = SerialLine(bytes_per_s)
    try:
        yield line
    finally:
        line.close()


@contextmanager
def shell_on(line: SerialLine, home: Path, argv: Sequence[str] = ("bash", "--norc", "-i")) -> Iterator[None]:
    """A logged-in shell at the device's end."""
    process = line.start(argv, HOME=str(home))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


HAS_GETTY = os.geteuid() == 0 and all(map(shutil.which, ("agetty", "login", "unshare")))
PASSWORD = "raspberry"


@contextmanager
def getty_on(line: SerialLine, folder: Path) -> Iterator[None]:
    """A real agetty and login. They see accounts of their own in place of this machine's: pi alone can log in."""
    home = folder / "pi"
    home.mkdir()
    profile = f"PATH={Path(sys.executable).parent}:$PATH\nPS1='\\u@kitchen:\\w\\$ '\necho Welcome\n"
    (home / ".bash_profile").write_text(profile)
    (folder / "passwd").write_text(f"root:x:0:0::/root:/bin/false\npi:x:0:0::{home}:/bin/bash\n")
    (folder / "shadow").write_text(f"root:*:19000:0:99999:7:::\npi:{build._PASSWORD}:19000:0:99999:7:::\n")
    script = (
        f"mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/shadow /etc/shadow && "
        f"while :; do setsid -w agetty -L 115200 {line.terminal.relative_to('/dev')} vt100; sleep 0.2; done"
    )
    process = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def noise(seed: int, rate: float = 1e-4) -> Change:
    """Flips, drops and doubles that many of the bytes."""
    dice = random.Random(seed)

    def damage(data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            kind = dice.randrange(3) if dice.random() < rate else None
            out += bytes([byte ^ 1 << dice.randrange(8)] if kind == 0 else [byte, byte] if kind == 1 else [byte])
            if kind == 2:
                del out[-1]
        return bytes(out)

    return damage
