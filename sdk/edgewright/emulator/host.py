"""What the emulator uses of the machine that it runs on: tools, folders, child processes and locks."""

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgewright_runtime.errors import storage_errors

from ..errors import DeviceError, StorageError
from ..folders import user_folder

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# What is needed, and the Debian package that brings it.
RUN_TOOLS = {"qemu-system-aarch64": "qemu-system-arm", "ssh-keygen": "openssh-client"}
BUILD_TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "debugfs": "e2fsprogs",
    KEYRING: "debian-archive-keyring",
}
_PACKAGES = RUN_TOOLS | BUILD_TOOLS


def require(tools: Iterable[str]) -> None:
    """Raises DeviceError naming every tool that is missing, and the one command that installs them all."""
    missing = [tool for tool in tools if find_tool(tool) is None]
    if missing:
        packages = " ".join(sorted({_PACKAGES[tool] for tool in missing}))
        sudo = "" if os.geteuid() == 0 else "sudo "
        raise DeviceError(
            f"Emulating a board needs {' and '.join(missing)}, not found on this machine: "
            f"run `{sudo}apt-get install --no-install-recommends {packages}`."
        )


def find_tool(name: str) -> str | None:
    """A program's path, or a file's. Debian keeps mkfs and its like out of an ordinary user's PATH."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    return shutil.which(name, mode=os.F_OK, path=path)


def images_folder() -> Path:
    """Where built images are kept: the user's cache folder, or $EDGEWRIGHT_CACHE_HOME."""
    return user_folder("EDGEWRIGHT_CACHE_HOME", "user_cache_dir") / "emulator"


def boards_folder() -> Path:
    """Where boards are kept, with their disks: the user's data folder, or $EDGEWRIGHT_DATA_HOME."""
    return user_folder("EDGEWRIGHT_DATA_HOME", "user_data_dir") / "emulator"


def run(argv: Sequence[str | Path], *, what: str, remedy: str, input: str = "", lock: int | None = None) -> str:
    """A tool's stdout. The tool and its children are killed on Ctrl-C; they share ``lock`` and so hold it to their end.

    Raises DeviceError with the tool's decisive line, StorageError where the disk is full.
    """
    program = find_tool(str(argv[0])) or str(argv[0])
    process = subprocess.Popen(
        [program, *map(str, argv[1:])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=os.environ | {"LC_ALL": "C"},
        umask=0o022,
        start_new_session=True,
        pass_fds=() if lock is None else (lock,),
    )
    try:
        stdout, stderr = process.communicate(input)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    if process.returncode != 0:
        lines = [line.strip() for line in stderr.splitlines() if line.strip()] or [f"exit code {process.returncode}"]
        if any("No space left on device" in line for line in lines):
            raise StorageError(f"{what} failed: no space is left on that disk: free 1 GB and try again.")
        decisive = next((line for line in lines if line.startswith("E:")), lines[-1])
        raise DeviceError(f"{what} failed ({decisive.removeprefix('E:').strip()[:300]}): {remedy}.")
    return stdout


@contextmanager
def locked(target: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Hold the only lock on ``target``, which need not exist. Yields a descriptor to share with child processes.

    Where another holds it, ``on_wait`` is called once and then waited. A lock dies with its last process, so that
    nothing is left to be cleared away after a crash.
    """
    path = target.with_name(f".{target.name}.lock")
    with storage_errors(f"write to {path.parent}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(path, on_wait)
    try:
        yield descriptor
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(path: Path, on_wait: Callable[[], None]) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
            os.close(descriptor)
        except FileNotFoundError:  # its last holder deleted it while we waited
            os.close(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

