"""What a serial line of 115,200 baud carries of a file: edgewright against base64 over the console, and ZMODEM.

    python benchmarks/serial_goodput.py

The line is a pair of pseudo-terminals with a relay between them that passes 11,520 bytes per second each way; no UART
is in it. The file is random bytes, which no compression makes smaller. Each row is the median of some turns, taken one
after the other in one run, from the first byte sent to the file being whole on the device; "raw" is what the relay
itself managed on this machine. edgewright must reach 88 % of 11,520 bytes per second: exit code 1 where it does not.
ZMODEM needs lrzsz (Debian: lrzsz).
"""

import argparse
import base64
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from e2e.serial_line import SerialLine, serial_line, shell_on

from edgewright.transports.serial import SerialTransport
from edgewright.transports.serial_address import SerialAddress

BYTES_PER_S = 11_520
LEAST = 0.88


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--bytes", type=int, default=200_000)
    options = parser.parse_args()
    peers: dict[str, Callable[[SerialLine, Path, Path], float]] = {
        "raw": raw,
        "edgewright": edgewright,
        "base64 over the console": base64_over_console,
    }
    if shutil.which("rz") and shutil.which("sz"):
        peers["ZMODEM (lrzsz)"] = zmodem
    rates: dict[str, list[float]] = {name: [] for name in peers}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.turns):
            for name, send in peers.items():
                home = Path(folder) / f"{turn}-{len(name)}"
                home.mkdir()
                source = Path(folder) / "source"
                source.write_bytes(os.urandom(options.bytes))
                with serial_line(BYTES_PER_S) as line, shell_on(line, home):
                    time.sleep(0.5)
                    seconds = send(line, source, home / "file")
                if (home / "file").read_bytes() != source.read_bytes():
                    raise SystemExit(f"{name} delivered something else")
                rates[name].append(options.bytes / seconds)
    print(f"{options.bytes:,} random bytes at {BYTES_PER_S:,} bytes/s, median of {options.turns}")
    for name, values in rates.items():
        print(f"{name:<24} {median(values):>8,.0f} bytes/s {median(values) / BYTES_PER_S:>6.1%}")
    holds = median(rates["edgewright"]) >= LEAST * BYTES_PER_S
    print(f"edgewright carries {LEAST:.0%} or more: {'yes' if holds else 'NO'}")
    return 0 if holds else 1


def edgewright(line: SerialLine, source: Path, target: Path) -> float:
    address = SerialAddress(str(line.port), max_baud=115_200, home=target.parent)  # type: ignore[arg-type]
    transport = SerialTransport(address)
    started = time.monotonic()
    transport.put(source, target)  # type: ignore[arg-type]
    seconds = time.monotonic() - started
    transport.close()
    return seconds


def raw(line: SerialLine, source: Path, target: Path) -> float:
    command = f"stty raw -echo; echo RE''ADY; head -c {source.stat().st_size} > {target}; stty sane; echo DO''NE"
    return _typed(line, command, source.read_bytes())


def base64_over_console(line: SerialLine, source: Path, target: Path) -> float:
    command = f"stty -echo; echo RE''ADY; base64 -d > {target}; stty echo; echo DO''NE"
    return _typed(line, command, base64.encodebytes(source.read_bytes()) + b"\x04")


def _typed(line: SerialLine, command: str, content: bytes) -> float:
    with line.port.open("r+b", buffering=0) as port:
        port.write(command.encode() + b"\r")
        _read_until(port.fileno(), b"READY")
        started = time.monotonic()
        while content:
            content = content[port.write(content[:4096]) :]
        _read_until(port.fileno(), b"DONE")
        return time.monotonic() - started


def zmodem(line: SerialLine, source: Path, target: Path) -> float:
    named = source.with_name(target.name)
    named.write_bytes(source.read_bytes())
    with line.port.open("r+b", buffering=0) as port:
        port.write(f"cd {target.parent}; rz -b -y -q; echo DO''NE\r".encode())
        _read_until(port.fileno(), b"**\x18B0")  # it is ready
        started = time.monotonic()
        subprocess.run(["sz", "-b", "-q", str(named)], stdin=port, stdout=port, stderr=subprocess.DEVNULL, check=True)
        return time.monotonic() - started


def _read_until(port: int, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        seen += os.read(port, 4096)


if __name__ == "__main__":
    sys.exit(main())
