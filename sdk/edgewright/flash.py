"""Bring a bundle onto a device: send what is missing, assemble, check there, and only then switch over.

Power, the network or Ctrl-C may end it at any instant: the model in use before stays in use, whole, until the new one
has answered the golden samples rightly and kept its budget on the device itself.

The manifest goes first, alone; the device answers with what it lacks of it, or has done everything already. Each round
trip starts a program there, so small files travel with the manifest in one zlib stream. Large ones go as files, which a
transport with a slow line compresses where that pays (the weights of float models do not).
"""

import platform
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from edgewright_runtime.bundle import Bundle
from edgewright_runtime.manifest import FileEntry
from edgewright_runtime.request import pack_request

from .devices import Device
from .doctor import Doctor
from .errors import TransportError
from .folders import temporary_folder
from .progress import Progress, part, sending, silent
from .remote import Remote, connected

CHANGE_TIMEOUT_S = 900.0  # waiting for another host, installing, golden samples and budget, on the slowest board
TOGETHER_BYTES = 1 << 20  # of files that travel with the manifest: the device holds them in memory
_ROUNDS = 3  # the question, the answer, and once more where that was damaged


@dataclass(frozen=True)
class FlashReport:
    """What was flashed. blobs_sent, sent_bytes: what the device lacked; previous: id of the bundle in use before;
    max_difference: of the golden samples' answers, in real units; seconds: in all, connecting included; warnings: what
    the doctor said of the model on this device, in sentences."""

    device: str
    name: str
    bundle_id: str
    blobs_sent: int
    sent_bytes: int
    previous: str | None
    max_difference: float
    seconds: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Installed:
    """A complete release on the device, not necessarily the one in use. path: its folder there; document: what the
    device says about it."""

    path: PurePosixPath
    blobs_sent: int
    sent_bytes: int
    document: dict[str, Any]
    warnings: tuple[str, ...] = ()


class Parcel:
    """A bundle on its way, to several devices at once too: what they all need is made once.

    folder: for files taken out of the bundle.
    """

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self.bundle = bundle
        self.entries = {entry.sha256: entry for entry in bundle.manifest.files}
        self._folder, self._lock = folder, Lock()
        self._requests: dict[tuple[FileEntry, ...], bytes] = {}

    def request(self, entries: tuple[FileEntry, ...]) -> bytes:
        """The manifest and the content of these files, verified, as the device's commands want it."""
        with self._lock:
            if entries not in self._requests:
                contents = [self.bundle.read(entry.path) for entry in entries]
                self._requests[entries] = pack_request(self.bundle.manifest_bytes, contents)
            return self._requests[entries]

    def file(self, entry: FileEntry) -> Path:
        """A file with this content, verified."""
        path = self._folder / entry.sha256
        with self._lock:
            if not path.exists():
                path.write_bytes(self.bundle.read(entry.path))
        return path


@contextmanager
def parcel(bundle: "str | Path | Parcel") -> Iterator[Parcel]:
    """Open a bundle for sending it. Raises InputError, BundleError."""
    if isinstance(bundle, Parcel):
        yield bundle
    else:
        opened = Bundle.open(bundle)
        with temporary_folder() as folder:
            yield Parcel(opened, folder)


def flash(
    bundle: str | Path | Parcel,
    device: str | Device | Remote,
    *,
    engine: str = "auto",
    check: bool = True,
    progress: Progress = silent,
) -> FlashReport:
    """Make a bundle the model in use on a device. check: have the doctor look at it before its content is sent.

    Raises InputError or BundleError for the bundle, DeviceError for the device, EngineError where it cannot load the
    model, CheckError where it answers otherwise or exceeds its budget, StorageError where its disk refuses or another
    host keeps changing it. After any of them the model in use before is still in use.
    """
    started = time.monotonic()
    with parcel(bundle) as packed, connected(device) as remote:
        doctor = Doctor(packed.bundle, remote.name, engine) if check else None
        installed = _deliver(packed, remote, progress, "store-flash", "--engine", engine, doctor=doctor)
        progress("done", 1.0)
        return FlashReport(
            device=remote.name,
            name=packed.bundle.manifest.name,
            bundle_id=packed.bundle.id,
            blobs_sent=installed.blobs_sent,
            sent_bytes=installed.sent_bytes,
            previous=installed.document["previous"],
            max_difference=max(output["max_difference"] for output in installed.document["golden"]),
            seconds=time.monotonic() - started,
            warnings=installed.warnings,
        )


def install(bundle: Bundle, remote: Remote, progress: Progress = silent) -> Installed:
    """Have a complete, verified release on the device, without using it. Only content that it lacks travels."""
    with temporary_folder() as folder:
        return _deliver(Parcel(bundle, folder), remote, progress, "store-install")


def change(
    remote: Remote, command: str, *arguments: str, input: bytes = b"", progress: Progress = silent
) -> dict[str, Any]:
    """Run a command that changes the device's store."""
    options = ("--home", remote.home, "--host", platform.node(), "--progress")
    return remote.call(command, *options, *arguments, input=input, timeout_s=CHANGE_TIMEOUT_S, progress=progress)


def _deliver(
    packed: Parcel, remote: Remote, progress: Progress, command: str, *options: str, doctor: "Doctor | None" = None
) -> Installed:
    blobs_sent = sent_bytes = 0
    warnings: tuple[str, ...] = ()
    lacking: list[FileEntry] = []
    for turn in range(_ROUNDS):
        small, large = _divide(lacking)
        _put(large, packed, remote, part(progress, 0.1, 0.8))
        step = part(progress, 0.8, 1.0) if turn else part(progress, 0.0, 0.1)
        step("comparing" if not turn else "assembling", 0.0)
        watched = step if doctor is None else doctor.during(step)
        document = change(remote, command, *options, input=packed.request(small), progress=watched)
        lacking = [packed.entries[sha256] for sha256 in document["missing"]]
        if not lacking:
            return Installed(PurePosixPath(document["path"]), blobs_sent, sent_bytes, document, warnings)
        if not turn:
            warnings = doctor.judge(document["device"]) if doctor is not None else ()
            blobs_sent, sent_bytes = len(lacking), sum(entry.size_bytes for entry in lacking)
    raise TransportError(
        f"What was sent to {remote.name} does not arrive undamaged ({lacking[0].path}): check its disk and its line."
    )


def _divide(entries: list[FileEntry]) -> tuple[tuple[FileEntry, ...], tuple[FileEntry, ...]]:
    """As many of the smallest as go into one message, and the others."""
    by_size = tuple(sorted(entries, key=lambda entry: entry.size_bytes))
    ends = list(accumulate(entry.size_bytes for entry in by_size))
    count = bisect_right(ends, TOGETHER_BYTES)
    return by_size[:count], by_size[count:]


def _put(entries: tuple[FileEntry, ...], packed: Parcel, remote: Remote, progress: Progress) -> None:
    done_bytes, total_bytes = 0, sum(entry.size_bytes for entry in entries)
    for entry in entries:
        step = part(progress, done_bytes / total_bytes, (done_bytes + entry.size_bytes) / total_bytes)
        step(f"sending {entry.path}", 0.0)
        place = remote.home / "incoming" / entry.sha256
        remote.transport.put(packed.file(entry), place, on_sent=sending(step, f"sending {entry.path}"))
        done_bytes += entry.size_bytes
