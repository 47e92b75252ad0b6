"""What a store can do without: everything but each model's current and previous release, and what they are made of.

The lock keeps flashes out. But what is on its way is written without it, so files that have arrived in the last minutes
stay; a flash that loses one all the same is told that it is missing, and sends it again. What is being measured, or is
about to be, stays too (claim.py).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .archive import MANIFEST
from .claim import is_fresh, is_held, is_wanted
from .errors import EdgewrightError, storage_errors
from .manifest import parse_manifest
from .store import Store, remove


def collect(store: Store, dry_run: bool = False) -> dict[str, Any]:
    """Delete what is in no use. Returns "removed": paths below the home; "freed_bytes"; "fresh": how many files
    and releases stay only because they are new or being measured; "dry_run": then nothing is deleted.

    Raises StorageError.
    """
    with storage_errors(f"clean up {store.home}"):
        kept = {
            store.home / "releases" / model["name"] / str(model[which])
            for model in store.models()
            for which in ("current", "previous")
            if model[which] is not None
        }
        wanted = {release for name in _inside(store.home / "releases") for release in _inside(name)} - kept
        wanted = {release for release in wanted if is_wanted(release)}
        arrived = [*_inside(store.home / "incoming"), *_inside(store.home / "data")]
        fresh = [path for path in arrived if is_fresh(path) or is_held(path)]
        doomed = [*_unused(store.home, kept | wanted), *(path for path in arrived if path not in fresh)]
        freed_bytes = _freed_bytes(doomed)
        if not dry_run:
            for path in doomed:
                remove(path)
    removed = [str(path.relative_to(store.home)) for path in doomed]
    return {"removed": removed, "freed_bytes": freed_bytes, "fresh": len(fresh) + len(wanted), "dry_run": dry_run}


def _unused(home: Path, kept: set[Path]) -> Iterator[Path]:
    """Releases first: a blob is never needed by what is left, only by what would be sent again."""
    needed: set[str] = set()
    for release in kept:
        try:
            needed.update(entry.sha256 for entry in parse_manifest((release / MANIFEST).read_bytes()).files)
        except (OSError, EdgewrightError):
            continue  # what is left of it has its own links to its content
    for name in _inside(home / "releases"):
        used = any(release.parent == name for release in kept)
        yield from (path for path in _inside(name) if path not in kept) if used else [name]
    for name in _inside(home / "models"):
        yield from (path for path in _inside(name) if path.name not in ("current", "previous"))
    yield from (path for path in _inside(home / "blobs") if path.name not in needed)


def _inside(folder: Path) -> list[Path]:
    """What is in a folder of ours; nothing where it is a symlink out of the store, or not there."""
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _freed_bytes(doomed: list[Path]) -> int:
    """The sizes of those files whose last name goes: a release and its blobs share theirs."""
    names: dict[tuple[int, int], int] = {}
    freed_bytes = 0
    for top in doomed:
        for path in [top, *(top.rglob("*") if top.is_dir() and not top.is_symlink() else ())]:
            status = path.lstat()
            if path.is_dir() and not path.is_symlink():
                continue
            key = (status.st_dev, status.st_ino)
            names[key] = names.get(key, 0) + 1
            if names[key] == status.st_nlink:
                freed_bytes += status.st_size
    return freed_bytes
