"""Flashing over SSH against scp, to devices on this machine: one OpenSSH server, all in one run.

    python benchmarks/flash.py

Limits: a 20 MB bundle to a fresh device within 1.3× the time of scp plus 1 s; unchanged again within 1 s and 20 kB;
with one changed file, that file's bytes; 20 devices in one command within 6× the time of one. Exit code 1 where one
does not hold. Times are medians of whole commands, from the start of their process to its end, taken in turns; unlike
scp, a flash also syncs the disk, loads the model on the device and compares its answers. Bytes are counted on the wire
from the host to the device, with all that SSH adds. The devices borrow this environment's Python, numpy and
engine. It needs OpenSSH's sshd and scp.
"""

import argparse
import asyncio
import getpass
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
from e2e.ssh_server import HAS_OPENSSH, SshServer, openssh_server
from unit.models import wide_model, write_bundle

from edgewright.devices import Device, add_device
from edgewright.remote import Remote
from edgewright.transports import LocalTransport
from edgewright.transports.background import BackgroundLoop
from edgewright.transports.host_keys import HostKeys
from edgewright.transports.ssh_address import SshAddress
from edgewright_runtime.bundle import Bundle

DEVICES = [f"device{number}" for number in range(20)]
LAYERS, WIDTH = 5, 1000  # 20 MB of float32 weights, which no compression makes smaller


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    if not HAS_OPENSSH or shutil.which("scp") is None:
        print("skipped: there is no OpenSSH server or no scp on this machine (Debian: openssh-server, openssh-client)")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.update(EDGEWRIGHT_CONFIG_HOME=str(folder / "config"), HOME=name)
        with openssh_server(folder / "server") as server, counting_wire(server.port) as wire:
            return Benchmark(folder, server, wire).run(turns)


class Benchmark:
    """Bundles, and devices that differ in their folder alone; "counted" is the first one, by way of the wire."""

    def __init__(self, folder: Path, server: SshServer, wire: "Wire") -> None:
        self.folder, self.server, self.wire = folder, server, wire
        self.large, self.changed, self.small = large_bundle(folder, 0), large_bundle(folder, 1), folder / "small.ewb"
        sample = np.ones((1, 1, 500), np.float32)
        write_bundle(self.small, wide_model(1, 500), [sample], name="small")
        for port in (server.port, wire.port):
            HostKeys().pin(SshAddress("127.0.0.1", getpass.getuser(), port), server.host_key)
        for name in DEVICES:
            self.add_device(name, server.port, folder / name)
        self.add_device("counted", wire.port, folder / DEVICES[0])

    def add_device(self, name: str, port: int, home: Path) -> None:
        make_environment(home / "venv")
        Remote(name, LocalTransport(home), sys.executable).install_runtime()
        add_device(Device(name, f"ssh://{getpass.getuser()}@127.0.0.1:{port}{home}", str(self.server.client_key)))

    def run(self, turns: int) -> int:
        one = DEVICES[:1]
        scp, fresh, again, single, fleet = ([] for _ in range(5))
        for _ in range(turns):
            scp.append(self.scp())
            fresh.append(self.flash(self.large, one, fresh=True))
            again.append(self.flash(self.large, one))
            single.append(self.flash(self.small, one, fresh=True))
            fleet.append(self.flash(self.small, DEVICES, fresh=True))
        self.flash(self.large, one, fresh=True)
        again_bytes = self.sent(self.large)
        lacking = changed_bytes(self.large, self.changed)
        change_bytes = self.sent(self.changed)
        limit = 1.3 * median(scp) + 1
        rows = [
            ("scp of 20 MB", f"{median(scp):.2f} s", "", True),
            ("flash of 20 MB", f"{median(fresh):.2f} s", f"{limit:.2f} s", median(fresh) <= limit),
            ("  above scp", f"{median(fresh) / median(scp):.2f}×", "", True),
            ("unchanged again", f"{median(again):.2f} s", "1 s", median(again) <= 1),
            ("  sent", f"{again_bytes:,} B", "20,000 B", again_bytes <= 20_000),
            (
                f"one file of {lacking:,} B changed, sent",
                f"{change_bytes:,} B",
                f"{lacking + 20_000:,} B",
                change_bytes <= lacking + 20_000,
            ),
            ("flash of 1 MB to one device", f"{median(single):.2f} s", "", True),
            ("  to 20 devices", f"{median(fleet):.2f} s", "", True),
            ("  ratio", f"{median(fleet) / median(single):.2f}×", "6×", median(fleet) <= 6 * median(single)),
        ]
        print(f"{'medians of ' + str(turns):45}{'measured':>15}{'limit':>12}")
        for what, measured, bound, holds in rows:
            print(f"{what:45}{measured:>15}{bound:>12}  {'' if not bound else 'holds' if holds else 'EXCEEDED'}")
        return 0 if all(holds for *_, holds in rows) else 1

    def flash(self, bundle: Path, devices: list[str], fresh: bool = False) -> float:
        """Seconds."""
        if fresh:
            for name in devices:
                for part in ("blobs", "incoming", "models", "releases"):
                    shutil.rmtree(self.folder / name / part, ignore_errors=True)
        program = [sys.executable, "-c", "from edgewright.cli import main; main()"]
        return seconds([*program, "flash", str(bundle), *devices])

    def sent(self, bundle: Path) -> int:
        """Bytes from the host to the device."""
        before = self.wire.sent_bytes
        self.flash(bundle, ["counted"])
        return self.wire.sent_bytes - before

    def scp(self) -> float:
        """Seconds."""
        options = ["-q", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        target = f"127.0.0.1:{self.folder}/copied"
        key = ["-i", str(self.server.client_key), "-P", str(self.server.port)]
        return seconds(["scp", *options, "-o", "LogLevel=ERROR", *key, str(self.large), target])


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def make_environment(folder: Path) -> None:
    """A virtual environment with numpy and the engine alone, as ``device setup`` makes one; here both are links."""
    packages = folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    packages.mkdir(parents=True, exist_ok=True)
    home = Path(sys.base_prefix) / "bin"
    (folder / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    links = {folder / "bin" / "python": Path(sys.executable).resolve()}
    borrowed = Path(np.__file__).parents[1]
    links |= {packages / path.name: path for name in ("numpy*", "ai_edge_litert*") for path in borrowed.glob(name)}
    for link, target in links.items():
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def large_bundle(folder: Path, variant: int) -> Path:
    """20 MB, of which the variants share all but the labels."""
    random = np.random.default_rng(variant)
    labels = ",".join(f'"{number:x}"' for number in random.integers(1 << 32, 1 << 60, 20_000))
    path, sample = folder / f"large{variant}.ewb", np.ones((3, 1, WIDTH), np.float32)
    return write_bundle(path, wide_model(LAYERS, WIDTH), [sample], {"labels": f"[{labels}]".encode()}, name="large")


def changed_bytes(before: Path, after: Path) -> int:
    """The size of the files of ``after`` that ``before`` does not have."""
    known = {entry.sha256 for entry in Bundle.open(before).manifest.files}
    return sum(entry.size_bytes for entry in Bundle.open(after).manifest.files if entry.sha256 not in known)


class Wire:
    """A port of this machine from which everything goes on to another one. sent_bytes: from the client, so far."""

    def __init__(self, target_port: int) -> None:
        self.port, self.sent_bytes = 0, 0
        self._target_port = target_port

    async def listen(self) -> None:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        await asyncio.gather(self._pass(reader, far_writer, True), self._pass(far_reader, writer, False))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: bool) -> None:
        while data := await reader.read(1 << 16):
            self.sent_bytes += len(data) if counted else 0
            writer.write(data)
            await writer.drain()
        writer.close()


@contextmanager
def counting_wire(target_port: int) -> Iterator[Wire]:
    loop, wire = BackgroundLoop(), Wire(target_port)
    loop.wait(lambda tell: wire.listen())
    try:
        yield wire
    finally:
        loop.close()


if __name__ == "__main__":
    sys.exit(main())
