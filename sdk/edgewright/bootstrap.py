"""What runs on a device before anything of ours is there: the host sends this file to the device's own Python.

    python3 -I -c "<this file>" COMMAND HOME [ARGUMENT ...]

Standard library only, syntax of Python 3.9. One JSON document on stdout. Folders come into being under another name and
are renamed when complete; symlinks are replaced by one rename; two hosts take turns.
"""

import compileall
import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHUNK_BYTES = 16 << 10  # more at once makes the kernel map more of a library than is used: 8 MB with 1 MiB
AGAIN = ".again"  # an environment's second name, for when the first is in use
IMPORT_TIMEOUT_S = 120
LOCK_TIMEOUT_S = 60
OURS = (
    *("venv", "environments", "runtime", "runtimes", "blobs", "releases", "models"),
    *("incoming", "data", "feedback", "prompts"),
)
LOCK = ".lock"

# What `python3 -m venv` makes of a link to an interpreter; Debian packs that module apart, and this is all of it.
PYVENV_CFG = "home = {home}\ninclude-system-site-packages = {system}\n"


class Damaged(Exception):
    """What arrived is not what was sent."""


class Failed(Exception):
    """A Python of the device did not do what it should; the message is what it said."""


def install(home: Path, name: str, digest: str, python: str, minor: str, system: str, module: str) -> dict[str, Any]:
    """Make environments/<name> of the site folder in incoming/<digest>, and let ``venv`` point to it.

    python: the interpreter's path; minor: "3.11"; system: "true" if it is to see its own packages too; module: what
    must be importable in the end.
    """
    venv, archive = home / "venv", home / "incoming" / digest
    in_use = venv.is_symlink() and venv.readlink().name == name  # then it is broken, but it is not for us to delete it
    folder = home / "environments" / (name + AGAIN if in_use else name)
    unfinished = folder.with_name(name + ".unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        _extract(archive, digest, unfinished / "lib" / ("python" + minor) / "site-packages")
        (unfinished / "bin").mkdir()
        (unfinished / "bin" / "python").symlink_to(python)
        (unfinished / "pyvenv.cfg").write_text(PYVENV_CFG.format(home=Path(python).parent, system=system))
        _import(unfinished / "bin" / "python", module)
        os.sync()
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        archive.unlink(missing_ok=True)
    return _use(home, folder.name)


def use(home: Path, name: str, module: str) -> dict[str, Any]:
    """Let ``venv`` point to environments/<name>, which the device's own pip has filled, if the module is there."""
    _import(home / "environments" / name / "bin" / "python", module)
    return _use(home, name)


def _use(home: Path, name: str) -> dict[str, Any]:
    """The others are deleted."""
    _point(home, "venv", "environments/" + name)
    for other in (home / "environments").iterdir():
        if other.name != name:
            shutil.rmtree(other, ignore_errors=True)
    return {}


def unpack(home: Path, digest: str) -> dict[str, Any]:
    """Unpack the archive on stdin to runtimes/<digest>, and let ``runtime`` point there."""
    folder = home / "runtimes" / digest
    unfinished = folder.with_suffix(".unfinished")
    for leftover in (unfinished, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    _extract(io.BytesIO(sys.stdin.buffer.read()), digest, unfinished)
    compileall.compile_dir(str(unfinished), quiet=2)
    os.sync()
    unfinished.rename(folder)
    _point(home, "runtime", "runtimes/" + digest)
    return {}


def holds(home: Path, name: str) -> dict[str, Any]:
    """Whether a file is there."""
    return {"there": (home / name).is_file()}


def purge(home: Path) -> dict[str, Any]:
    """Delete what edgewright made, and the folder itself if nothing else is in it."""
    removed = []
    for name in (*OURS, LOCK):
        for path in (home / name, home / (name + ".unfinished")):
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                continue
            removed.append(path.name)
    if home.is_dir() and not any(home.iterdir()):
        home.rmdir()
    return {"removed": removed}


def _extract(archive: Any, digest: str, folder: Path) -> None:
    """Plain files only, and only below the folder. archive: a path or a binary file, whose SHA-256 is the digest."""
    with archive.open("rb") if isinstance(archive, Path) else archive as file:
        sha256 = hashlib.sha256()
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
        if sha256.hexdigest() != digest:
            raise Damaged("the files were damaged on their way")
        file.seek(0)
        with tarfile.open(fileobj=file) as entries:
            for entry in entries:
                path, source = folder / entry.name, entries.extractfile(entry) if entry.isfile() else None
                if source is None or ".." in path.parts or folder not in path.parents:
                    raise Damaged(f"{entry.name!r} is no plain file of the archive")
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as out:
                    shutil.copyfileobj(source, out, CHUNK_BYTES)


def _import(python: Path, module: str) -> None:
    argv = [str(python), "-I", "-c", "import numpy, " + module]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=IMPORT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Failed(f"no answer within {IMPORT_TIMEOUT_S} s") from None
    if done.returncode < 0:
        raise Failed(f"ended by signal {-done.returncode}")
    if done.returncode > 0:
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
        raise Failed((errors or lines or [f"exit code {done.returncode}"])[-1])


def _point(home: Path, name: str, target: str) -> None:
    unfinished = home / (name + ".unfinished")
    if unfinished.is_symlink():
        unfinished.unlink()
    unfinished.symlink_to(target)
    unfinished.rename(home / name)
    os.sync()


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """The lock that the runtime's store takes too: the kernel lets go of it with the process, however that ends."""
    home.mkdir(parents=True, exist_ok=True)
    lock = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BlockingIOError(errno.EAGAIN, "another host keeps changing it, try again later") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(lock)


def main(command: str, home: str, *arguments: str) -> dict[str, Any]:
    commands: Any = {"install": install, "use": use, "unpack": unpack, "purge": purge}
    try:
        if command == "holds":
            return holds(Path(home), *arguments)
        with _locked(Path(home)):
            return dict(commands[command](Path(home), *arguments))
    except (OSError, Damaged, EOFError, tarfile.TarError) as error:
        return {"error": str(error)}
    except Failed as failed:
        return {"failed": str(failed)}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
