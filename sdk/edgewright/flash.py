"""Bring a bundle onto a device: send what is missing, assemble, check there, and only then switch over.

Power, the network or Ctrl-C may end it at any instant: the model in use before stays in use, whole, until the new one
has answered the golden samples rightly and kept its budget on the device itself.
"""

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgewright_runtime.bundle import Bundle

from .devices import Device
from .folders import temporary_folder
from .progress import Progress, silent
from .remote import Remote, connected

_CHECK_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class FlashReport:
    """What was flashed. blobs_sent, sent_bytes: what the device lacked; previous: id of the bundle in use before."""

    device: str
    name: str
    bundle_id: str
    blobs_sent: int
    sent_bytes: int
    previous: str | None
    max_difference: float


@dataclass(frozen=True)
class Installed:
    """A complete release on the device, not necessarily the one in use. path: its folder there."""

    path: PurePosixPath
    blobs_sent: int
    sent_bytes: int


def flash(
    bundle: str | Path, device: str | Device | Remote, *, engine: str = "auto", progress: Progress = silent
) -> FlashReport:
    """Make a bundle the model in use on a device.

    Raises InputError or BundleError for the bundle, DeviceError for the device, EngineError where it cannot load the
    model, CheckError where it answers otherwise or exceeds its budget, StorageError where its disk refuses. After any
    of them the model in use before is still in use.
    """
    opened = Bundle.open(bundle)
    manifest = opened.manifest
    with connected(device) as remote:
        installed = install(opened, remote, progress)
        progress("checking on the device", 0.8)
        budget = ["--budget"] if manifest.budget.latency_ms or manifest.budget.memory_mb else []
        check = remote.call("verify", installed.path, "--engine", engine, *budget, timeout_s=_CHECK_TIMEOUT_S)
        progress("switching over", 0.95)
        switch = remote.call("store-activate", "--home", remote.home, manifest.name, opened.id)
        progress("done", 1.0)
        return FlashReport(
            device=remote.name,
            name=manifest.name,
            bundle_id=opened.id,
            blobs_sent=installed.blobs_sent,
            sent_bytes=installed.sent_bytes,
            previous=switch["previous"],
            max_difference=max(output["max_difference"] for output in check["golden"]),
        )


def install(bundle: Bundle, remote: Remote, progress: Progress = silent) -> Installed:
    """Have a complete, verified release on the device, without using it. Only content that it lacks travels."""
    sizes = {entry.sha256: entry.size_bytes for entry in bundle.manifest.files}
    progress("comparing", 0.0)
    home = ("--home", remote.home)
    missing = remote.call("store-missing", *home, input=json.dumps(list(sizes)).encode())["missing"]
    total, sent = sum(sizes[sha256] for sha256 in missing), 0
    with temporary_folder() as folder:
        for sha256, path in bundle.extract(folder, only=missing).items():
            progress("sending", 0.7 * sent / max(1, total))
            remote.transport.put(path, remote.home / "incoming" / sha256)
            sent += sizes[sha256]
    progress("assembling", 0.7)
    release = remote.call("store-install", *home, input=bundle.manifest_bytes)
    return Installed(PurePosixPath(release["path"]), len(missing), total)
