"""What runs on a device before anything of ours is there: the host sends this file to the device's own Python.

    python3 -I -c "<this file>" COMMAND HOME [ARGUMENT ...]

Standard library only and old syntax, so that an old Python can still say how old it is. One JSON document on stdout.
Folders come into being under another name and are renamed when complete; symlinks are replaced by one rename.
"""

import compileall
import hashlib
import io
import json
import os
import platform
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

Answer = Any  # a dict, but old Pythons cannot say of what

OURS = ("venv", "environments", "runtime", "runtimes", "blobs", "releases", "models", "incoming", "data", ".lock")


def look(home: Path) -> Answer:
    """What the device is and what of ours it has."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "environment": _target(home / "venv"),
        "runtime": _target(home / "runtime"),
    }


def unpack(home: Path, digest: str) -> Answer:
    """Unpack the archive on stdin to runtimes/<digest>, and let ``runtime`` point there."""
    content = sys.stdin.buffer.read()
    if hashlib.sha256(content).hexdigest() != digest:
        return {"error": "the runtime's files were damaged on their way"}
    folder = home / "runtimes" / digest
    unfinished = folder.with_suffix(".unfinished")
    for leftover in (unfinished, folder):
        shutil.rmtree(str(leftover), ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for entry in archive:
            source, path = archive.extractfile(entry), unfinished / entry.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read() if source else b"")
    compileall.compile_dir(str(unfinished), quiet=2)
    os.sync()
    unfinished.rename(folder)
    _point(home, "runtime", "runtimes/" + digest)
    return {}


def use(home: Path, environment: str) -> Answer:
    """Let ``venv`` point to environments/<environment>, and delete the others."""
    _point(home, "venv", "environments/" + environment)
    for other in (home / "environments").iterdir():
        if other.name != environment:
            shutil.rmtree(str(other), ignore_errors=True)
    return {}


def holds(home: Path, name: str) -> Answer:
    """Whether a file is there."""
    return {"there": (home / name).is_file()}


def purge(home: Path) -> Answer:
    """Delete what edgewright made, and the folder itself if nothing else is in it."""
    removed = []
    for path in (home / name for name in OURS):
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(str(path))
        else:
            continue
        removed.append(path.name)
    if home.is_dir() and not any(home.iterdir()):
        home.rmdir()
    return {"removed": removed}


def _point(home: Path, name: str, target: str) -> None:
    unfinished = home / (name + ".unfinished")
    if unfinished.is_symlink():
        unfinished.unlink()
    unfinished.symlink_to(target)
    unfinished.rename(home / name)
    os.sync()


def _target(link: Path) -> Any:
    return Path(os.readlink(str(link))).name if link.is_symlink() else None  # noqa: PTH115 - Python 3.9


if __name__ == "__main__":
    command: Any = {"look": look, "unpack": unpack, "use": use, "holds": holds, "purge": purge}[sys.argv[1]]
    try:
        answer = command(Path(sys.argv[2]), *sys.argv[3:])
    except OSError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))
