"""Flashing and rolling back, as seen from the device: whole, checked, and only then in use.

``check`` runs a release's golden samples and budget, and raises where they do not hold: then the model in use stays.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .bundle import Bundle
from .errors import StorageError
from .manifest import FileEntry, parse_manifest
from .request import Request
from .store import Store

# Whether they are there is all that is asked; the engines' own modules would import numpy for it.
_PACKAGES = {"litert": "ai_edge_litert", "tflite": "tflite_runtime"}

Check = Callable[[Path], dict[str, Any]]
Tell = Callable[[str], None]


def install(store: Store, request: Request) -> dict[str, Any]:
    """The SHA-256 still to be sent as "missing", with "device", by which the host decides whether to send them; where
    none are, "id", "name" and "path" of the release.

    Raises InputError, BundleError for the manifest, StorageError.
    """
    manifest = parse_manifest(request.manifest)
    store.receive(request.contents)
    missing = store.accept(manifest.files)
    if missing:
        _require_room(store, [entry for entry in manifest.files if entry.sha256 in missing])
        return {"missing": missing, "device": _device(store)}
    release = store.assemble(request.manifest)
    return {"missing": [], "id": release.name, "name": manifest.name, "path": str(release)}


def flash(store: Store, request: Request, check: Check, tell: Tell) -> dict[str, Any]:
    """As ``install``; then check, and make it the model in use. "previous": the id of the one before."""
    tell("assembling")
    installed = install(store, request)
    if installed["missing"]:
        return installed
    tell("checking")
    checked = check(Path(installed["path"]))
    tell("switching over")
    return {**installed, **checked, "previous": store.activate(installed["name"], installed["id"])}


def roll_back(store: Store, name: str, check: Check, tell: Tell) -> dict[str, Any]:
    """Use the model before once more, if it still passes its check. Raises InputError where there is none."""
    release = store.previous(name)
    tell("checking")
    Bundle.open(release).verify()  # it has lain there for long
    checked = check(release)
    tell("switching over")
    return {"name": name, "id": release.name, "previous": store.roll_back(name), **checked}


def _device(store: Store) -> dict[str, Any]:
    """For the host to judge by, before it sends anything."""
    from importlib.util import find_spec

    from .facts import parse_memory_bytes, read_fact

    disk = os.statvfs(store.home)
    return {
        "engines": [name for name, package in _PACKAGES.items() if find_spec(package) is not None],
        "machine": os.uname().machine,
        "memory_bytes": read_fact(Path("/proc/meminfo"), parse_memory_bytes),
        "free_bytes": disk.f_bavail * disk.f_frsize,
    }


def _require_room(store: Store, lacking: list[FileEntry]) -> None:
    needed_bytes = sum({entry.sha256: entry.size_bytes for entry in lacking}.values())
    disk = os.statvfs(store.home)
    free_bytes = disk.f_bavail * disk.f_frsize
    if needed_bytes > free_bytes:
        raise StorageError(
            f"{store.home} has {free_bytes / 1e6:.1f} MB of free space, the bundle needs {needed_bytes / 1e6:.1f} MB: "
            "free some, for instance with `edgewright gc`."
        )
