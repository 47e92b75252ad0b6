import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.emulator import build
from edgewright.emulator.host import images_folder
from edgewright.errors import DeviceError, StorageError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "require", lambda _: None)


Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Makes a shell script that is found before any program of that name."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def make(name: str, script: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(stat.S_IRWXU)

    return make


def _module(root: Path, name: str, depends: str) -> None:
    path = root / "lib/modules/6.1/kernel/drivers" / f"{name}.ko"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0intree=Y\0")


def test_drivers_come_after_what_they_depend_on_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_DRIVERS", ("virtio_net", "virtio_rng"))
    _module(tmp_path, "virtio_net", "virtio,net-failover,virtio_ring")
    _module(tmp_path, "net_failover", "failover")
    _module(tmp_path, "failover", "")
    _module(tmp_path, "virtio", "")
    _module(tmp_path, "virtio_ring", "virtio")
    _module(tmp_path, "virtio-rng", "virtio_ring")
    _module(tmp_path, "sound", "virtio")
    names = [path.stem for path in build._drivers(tmp_path)]
    assert names == ["virtio", "failover", "net_failover", "virtio_ring", "virtio_net", "virtio-rng"]


@pytest.mark.skipif(shutil.which("cpio") is None, reason="needs cpio")
def test_the_initrd_is_what_cpio_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_DRIVERS", ("b", "a"))
    _module(tmp_path, "a", "")
    _module(tmp_path, "b", "a")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/busybox").write_bytes(b"busy")
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["cpio", "-i", "--quiet"], input=build._initrd(tmp_path), cwd=unpacked, check=True)
    files = sorted(str(path.relative_to(unpacked)) for path in unpacked.rglob("*"))
    assert files == ["bin", "bin/busybox", "drivers", "drivers/00-a.ko", "drivers/01-b.ko", "init"]
    assert (unpacked / "bin/busybox").read_bytes() == b"busy"
    assert os.access(unpacked / "init", os.X_OK)


def test_the_mirror_is_the_one_that_apt_has_debian_from(program: Program) -> None:
    program(
        "apt-get",
        "cat <<'END'\n$(ORIGIN)|$(LABEL)|http://unread.test/\nNode|Node|http://node.test/\n"
        "Debian|Debian-Security|http://mirror.test/security/\nDebian|Debian|http://mirror.test/debian/\nEND",
    )
    assert build._mirror() == ["deb http://mirror.test/debian/ bookworm main"]
    program("apt-get", "exit 100")
    assert build._mirror() == []


def test_a_failing_mirror_is_told_and_leaves_nothing(program: Program) -> None:
    program("apt-get", "exit 1")
    program("mmdebstrap", "echo 'E: Failed to fetch the packages' >&2; exit 25")
    with pytest.raises(DeviceError, match=r"Extracting Debian with mmdebstrap failed \(Failed to fetch .*\): see"):
        build.image()
    assert not any(images_folder().iterdir())


def test_what_a_killed_build_left_is_no_image_and_is_cleared_away(program: Program) -> None:
    leftover = build._image_folder().with_name(f".{build._image_folder().name}.unfinished")
    leftover.mkdir(parents=True)
    (leftover / "disk").touch()
    program("apt-get", "exit 1")
    program("mmdebstrap", f"test -e {leftover}/disk && exit 1; echo 'E: here I am' >&2; exit 1")
    with pytest.raises(DeviceError, match="here I am"):
        build.image()


def test_an_image_is_built_once() -> None:
    folder = build._image_folder()
    folder.mkdir(parents=True)
    assert build.image() == folder


def test_an_image_of_another_recipe_is_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = build._image_folder()
    assert build._image_folder() == before
    monkeypatch.setattr(build, "_GUEST", Path(shutil.copytree(build._GUEST, tmp_path / "guest")))
    assert build._image_folder() == before
    with (tmp_path / "guest" / "packages").open("a") as file:
        file.write("rsync\n")
    assert build._image_folder() != before


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(StorageError, match=r"Cannot write to .*cache/emulator: a part of that path is a file"):
        build.image()
