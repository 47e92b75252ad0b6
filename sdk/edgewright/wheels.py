"""Wheels for a device, fetched by the host's own pip: once, then from the cache, also without a network."""

import base64
import csv
import hashlib
import re
import stat
import subprocess
import sys
import zlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile, ZipInfo

from .cache import Cache
from .errors import DeviceError

_PIP_TIMEOUT_S = 1800.0
_PIP_OPTIONS = (
    *("--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"),
    *("--retries=2", "--timeout=30"),
)
# What the pinned wheels call themselves. Whether a device's glibc is new enough is known before, see engines.py.
_PLATFORMS = (*(f"manylinux_2_{minor}" for minor in range(34, 4, -1)), "manylinux2014", "manylinux2010", "linux")


class WheelTag(NamedTuple):
    """What a wheel must be made for. minor: of Python 3; machine: x86_64, aarch64 or armv7l."""

    minor: int
    machine: str

    @property
    def platforms(self) -> tuple[str, ...]:
        """What such wheels may call their platform, best first."""
        return tuple(f"{platform}_{self.machine}" for platform in _PLATFORMS)

    def fits(self, file: str, requirement: str) -> bool:
        """Whether a file's name is that of such a wheel: name-version[-build]-python-abi-platform[.platform].whl."""
        name, version = requirement.replace("-", "_").split("==")
        python = f"cp3{self.minor}"
        found = re.fullmatch(
            rf"{re.escape(name)}-{re.escape(version)}(?:-\d[^-]*)?-{python}-{python}-([^-]+)\.whl", file
        )
        return found is not None and not set(self.platforms).isdisjoint(found[1].split("."))


def fetch_wheels(requirements: Sequence[str], tag: WheelTag) -> list[Path]:
    """The wheels of pinned requirements ("numpy==2.2.6") in the cache, downloaded if need be.

    Raises DeviceError where there is no such wheel, no network or no pip, StorageError for the cache.
    """
    cache = Cache("wheels")

    def find(requirement: str) -> Path | None:
        return cache.find(lambda file: tag.fits(file, requirement))

    with cache.workspace() as folder:
        missing = [requirement for requirement in requirements if find(requirement) is None]
        if missing:
            _download(missing, tag, folder)
            for downloaded in folder.glob("*.whl"):
                read_wheel(downloaded)  # only what is whole stays
                cache.add(downloaded)
        return [wheel for requirement in requirements if (wheel := find(requirement))]


def read_wheel(wheel: Path) -> dict[str, bytes]:
    """All files of a wheel by path, each as its RECORD describes it. Nothing is written anywhere.

    Raises DeviceError where a file is damaged, missing, unlisted, no plain file, or would land outside of the folder.
    https://packaging.python.org/en/latest/specifications/binary-distribution-format/
    """
    try:
        with ZipFile(wheel) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            for entry in entries:
                _check_place(entry)
            contents = {entry.filename: archive.read(entry) for entry in entries}
        if len(contents) < len(entries):
            raise ValueError("a file is in it twice")
        _check_hashes(contents)
    except (ValueError, OSError, EOFError, RuntimeError, BadZipFile, zlib.error, csv.Error) as error:
        raise DeviceError(f"The wheel {wheel.name} cannot be trusted ({error}): delete it and try again.") from error
    return contents


def _check_place(entry: ZipInfo) -> None:
    path = PurePosixPath(entry.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or str(path) != entry.filename:
        raise ValueError(f"{entry.filename!r} is outside of its folder")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise ValueError(f"{entry.filename!r} is no plain file")


def _check_hashes(contents: dict[str, bytes]) -> None:
    (record,) = [name for name in contents if re.fullmatch(r"[^/]+\.dist-info/RECORD", name)]
    listed = {name: digest for name, digest, _ in csv.reader(contents[record].decode("utf-8").splitlines())}
    if listed.keys() != contents.keys():
        raise ValueError(f"{min(listed.keys() ^ contents.keys())!r} is not both in it and in its RECORD")
    for name, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        if name != record and listed[name] != f"sha256={digest}":
            raise ValueError(f"{name!r} is damaged")


def _download(requirements: Sequence[str], tag: WheelTag, folder: Path) -> None:
    what = " and ".join(requirements)
    if find_spec("pip") is None:
        raise DeviceError(
            f"{sys.executable} has no pip to download {what} with: run `{sys.executable} -m ensurepip`, or set the "
            "device up with --online."
        )
    argv = [sys.executable, "-m", "pip", "download", *_PIP_OPTIONS, "--dest", str(folder)]
    argv += ["--implementation", "cp", "--python-version", f"3.{tag.minor}", "--abi", f"cp3{tag.minor}"]
    argv += [f"--platform={platform}" for platform in tag.platforms]
    try:
        done = subprocess.run([*argv, *requirements], capture_output=True, text=True, timeout=_PIP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"Downloading {what} did not end within {_PIP_TIMEOUT_S:g} s: try again.") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = (lines or done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:300]
        raise DeviceError(
            f"Cannot download {what} for Python 3.{tag.minor} on {tag.machine} ({reason}): see whether this machine "
            "has a network and where its pip looks (`pip config list`)."
        )
