"""The image of an emulated board: Debian bookworm for arm64, which is what 64-bit Raspberry Pi OS is made of.

    Debian's packages ──► root/ ──► disk     (ext4, sparse)
                            ├─────► kernel
                            └─────► initrd   (the drivers that the kernel needs to find its disk)

The packages are only extracted: no maintainer script runs, nothing is emulated while building, and neither root nor a
user namespace is needed. An image is built once and then shared by all boards; its folder is named by a hash of its
recipe, which is this file and the folder ``guest``.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from edgewright_runtime.disk import fsync_folder
from edgewright_runtime.errors import storage_errors

from ..progress import Progress, silent
from .host import BUILD_TOOLS, KEYRING, images_folder, locked, require, run

# A program on the board knows by this file that it runs on an emulated one.
MARKER_PATH = "/etc/edgewright-emulated"
MARKER = "qemu-system-aarch64 (TCG): times measured here say nothing about a real board\n"

DISK_BYTES = 4 << 30  # sparse: an engine is 100 MB

_GUEST = Path(__file__).with_name("guest")
_SUITE = "bookworm"
# Nobody reads on a board, and what the initrd has not of the kernel no board needs. (Let mmdebstrap filter these out,
# and it takes three times as long.)
_LEFT_OUT = ("boot", "lib/modules", "usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man")
_DRIVERS = ("virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng", "virtio_console", "qemu_fw_cfg")
_PYTHON_LIBRARY = "usr/lib/python3.11"
_PYTHON_MAGIC = (3495).to_bytes(2, "little") + b"\r\n"  # the byte code of CPython 3.11
_PI = 1000
# "raspberry", on the serial console; over SSH only the board's own key opens.
_PASSWORD = "$6$edgewright$J80p0vkn8hD2y4EXAyCiOlbnmkn8DRCngnk/mwasH.HRKhwqfYt/4s7kwrh/RlIBjKz9eYw7pxfy3.V0kwiaV/"
_INODES = 65536

_FILES = {
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/fstab": "",
    "etc/resolv.conf": "nameserver 10.0.2.3\n",
    "etc/shadow": f"root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\npi:{_PASSWORD}:19000:0:99999:7:::\n",
    "etc/pam.d/other": "".join(f"{kind} required pam_unix.so\n" for kind in ("auth", "account", "password", "session")),
    MARKER_PATH[1:]: MARKER,
}
_ACCOUNTS = {
    "passwd": f"sshd:x:101:65534::/run/sshd:/usr/sbin/nologin\npi:x:{_PI}:{_PI}:,,,:/home/pi:/bin/bash\n",
    "group": f"pi:x:{_PI}:\n",
}
_SCRIPTS = {"rc": "etc/rc", "power-switch": "etc/power-switch"}
_SETTINGS = {"inittab": "etc/inittab", "sshd_config": "etc/ssh/sshd_config"}


def is_built() -> bool:
    """Whether ``image`` has nothing to do."""
    return _image_folder().exists()


def image(progress: Progress = silent) -> Path:
    """The folder with ``kernel``, ``initrd`` and ``disk``; built where it is missing, while others wait for it.

    Raises DeviceError where a tool or the mirror fails, StorageError where the cache cannot be written.
    """
    folder = _image_folder()
    with locked(folder, lambda: progress("waiting for another that builds the image", 0.0)) as lock:
        if not folder.exists():
            require(BUILD_TOOLS)
            unfinished = folder.with_name(f".{folder.name}.unfinished")
            with storage_errors(f"build {folder}"):
                shutil.rmtree(unfinished, ignore_errors=True)  # of a build that was cut off
                unfinished.mkdir()
                try:
                    _build(unfinished, lock, progress)
                    unfinished.rename(folder)
                    fsync_folder(folder.parent)
                finally:
                    shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _image_folder() -> Path:
    recipe = sha256(str(_same_python()).encode())
    for path in (Path(__file__), *sorted(_GUEST.iterdir())):
        recipe.update(sha256(path.read_bytes()).digest())
    return images_folder() / recipe.hexdigest()[:16]


def _build(folder: Path, lock: int, progress: Progress) -> None:
    root = folder / "root"
    progress("downloading and extracting Debian", 0.0)
    _extract(root, folder, lock)
    progress("configuring", 0.7)
    _configure(root)
    (folder / "initrd").write_bytes(_initrd(root))
    next(root.glob("boot/vmlinuz-*")).rename(folder / "kernel")
    for name in _LEFT_OUT:
        shutil.rmtree(root / name)
    if _same_python():
        progress("compiling Python's library", 0.75)
        _compile(root, lock)
    progress("making the disk", 0.9)
    _make_disk(root, folder / "disk", lock)
    shutil.rmtree(root)
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    progress("done", 1.0)


def _extract(root: Path, scratch: Path, lock: int) -> None:
    packages = ",".join((_GUEST / "packages").read_text().split())
    # Nothing is executed in mode chrootless either, and it alone asks for no privilege and no emulation.
    options = ["--arch=arm64", "--variant=extract", "--mode=chrootless", "--format=directory"]
    options += [f"--keyring={KEYRING}", '--aptopt=Acquire::Languages "none"', f"--include={packages}"]
    run(
        ["env", f"TMPDIR={scratch}", "mmdebstrap", *options, _SUITE, root, *_mirror()],
        what="Extracting Debian with mmdebstrap",
        remedy="see whether this machine reaches its Debian mirror; `apt-get update` makes edgewright use the one that "
        "apt is configured with",
        lock=lock,
    )


def _mirror() -> list[str]:
    """The mirror that this machine has Debian from, as mmdebstrap's argument; nothing where it has none."""
    columns = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    targets = subprocess.run(["apt-get", "indextargets", "--format", columns], capture_output=True, text=True)
    for line in targets.stdout.splitlines():
        origin, label, uri = line.split("|", 2)
        if (origin, label) == ("Debian", "Debian"):
            return [f"deb {uri} {_SUITE} main"]
    return []


def _configure(root: Path) -> None:
    """Do what the maintainer scripts would have done, and give the board its own start."""
    for path in (root / "etc/pam.d").iterdir():
        path.unlink()  # they include files that a maintainer script makes
    (root / "usr/bin/awk").symlink_to("mawk")
    (root / "sbin/init").symlink_to("/bin/busybox")
    for name in ("home/pi", "proc", "run", "sys", "tmp", "var/log", "var/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(0o1777 if name.endswith("tmp") else 0o755)
    for path in (root / "etc/skel").iterdir():
        shutil.copy(path, root / "home/pi")
    for name, content in _FILES.items():
        _write(root / name, content, 0o600 if name == "etc/shadow" else 0o644)
    for name in ("passwd", "group"):
        master = (root / f"usr/share/base-passwd/{name}.master").read_text()
        _write(root / "etc" / name, master + _ACCOUNTS[name], 0o644)
    for places, mode in ((_SCRIPTS, 0o755), (_SETTINGS, 0o644)):
        for name, place in places.items():
            _write(root / place, (_GUEST / name).read_text(), mode)


def _write(path: Path, content: str, mode: int) -> None:
    path.write_text(content)
    path.chmod(mode)  # whatever the builder's umask is


def _same_python() -> bool:
    """Whether this Python's byte code is the board's: compiled beforehand, a start there takes half the time."""
    return importlib.util.MAGIC_NUMBER == _PYTHON_MAGIC


def _compile(root: Path, lock: int) -> None:
    run(
        [sys.executable, "-m", "compileall", "-q", "-j", "2", "-s", root, "-p", "/", root / _PYTHON_LIBRARY],
        what="Compiling the board's Python library",
        remedy="try again",
        lock=lock,
    )


def _initrd(root: Path) -> bytes:
    """An uncompressed newc archive: a start program, busybox to interpret it, and drivers numbered in loading order."""
    members = {"init": (_GUEST / "initrd-init").read_bytes(), "bin/busybox": (root / "bin/busybox").read_bytes()}
    for number, path in enumerate(_drivers(root)):
        members[f"drivers/{number:02}-{path.name}"] = path.read_bytes()
    archive = b"".join(_newc(name, 0o40755, b"") for name in ("bin", "drivers"))
    archive += b"".join(_newc(name, 0o100755, content) for name, content in members.items())
    return archive + _newc("TRAILER!!!", 0, b"")


def _newc(name: str, mode: int, content: bytes) -> bytes:
    """One member of a newc cpio archive; see the kernel's documentation of the initramfs buffer format."""
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return _padded(header) + _padded(content)


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)


def _drivers(root: Path) -> Iterator[Path]:
    """The kernel modules of _DRIVERS and of what they depend on, dependencies first."""
    modules = {path.stem.replace("-", "_"): path for path in root.glob("lib/modules/*/kernel/**/*.ko")}
    done: set[str] = set()

    def visit(name: str) -> Iterator[Path]:
        if name not in done:
            done.add(name)
            found = re.search(rb"\0depends=([^\0]*)\0", modules[name].read_bytes())
            for dependency in found[1].decode().split(",") if found and found[1] else ():
                yield from visit(dependency.replace("-", "_"))
            yield modules[name]

    for name in _DRIVERS:
        yield from visit(name)


def _make_disk(root: Path, disk: Path, lock: int) -> None:
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
    remedy = "see what is wrong with that disk"
    # Not lazy: otherwise each board would spend its first minutes on writing empty inode tables.
    options = f"-q -F -L rootfs -N {_INODES} -m 0 -J size=32 -E lazy_itable_init=0,lazy_journal_init=0".split()
    run(
        ["mkfs.ext4", *options, "-d", root, disk],
        what="Making the board's file system",
        remedy=remedy,
        lock=lock,
    )
    # mkfs copies the files as the builder's own, and they are to be root's, except pi's.
    files = sum(len(folders) + len(names) for _, folders, names in os.walk(root))
    owners = [(f"<{inode}>", 0) for inode in [2, *range(11, files + 13)]]
    home = root / "home/pi"
    owners += [(f"/{path.relative_to(root)}", _PI) for path in (home, *home.iterdir())]
    commands = [f"sif {file} {field} {owner}\n" for file, owner in owners for field in ("uid", "gid")]
    run(
        ["debugfs", "-w", "-f", "-", disk],
        what="Setting the owners of the board's files",
        remedy=remedy,
        input="".join(commands),
        lock=lock,
    )
