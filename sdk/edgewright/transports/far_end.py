"""What an SSH transport starts on the device: the host sends this file to the device's own Python.

    python3 -I -S -c "<this file>" HOME SILENCE_S run SIZE PROGRAM [ARGUMENT ...]
    python3 -I -S -c "<this file>" HOME SILENCE_S put PATH
    python3 -I -S -c "<this file>" HOME SILENCE_S get PATH

An SSH server lets a program run on when its connection is gone. So this one stays beside the program and ends it when
the host closes stdin, or says nothing for SILENCE_S seconds. stdin: for run, SIZE bytes for the program, then signs of
life; for put, the file as a zlib stream. stdout: an answer, ``\\0edgewright <an errno's name, or nothing>\\0``, then
the program's own output, or the file; what a login shell says before the answer is not ours.

Standard library only, syntax of Python 3.9, and no import that a small board would feel: of 16 ms on a workstation,
``signal`` is 3; ``subprocess`` would be another 7, ``pathlib`` more.
"""

# ruff: noqa: PTH103, PTH104, PTH108, PTH110, PTH118, PTH120, PTH123, SIM105

import _thread
import errno
import os
import select
import sys
import zlib
from _signal import SIGKILL, SIGPIPE, SIGXFSZ  # type: ignore[import-not-found]

CHUNK_BYTES = 64 << 10
NOT_FOUND, NOT_EXECUTABLE, KILLED = 127, 126, 128  # as a shell reports them


def main(home: str, silence_s: str, command: str, *arguments: str) -> int:
    """Returns the exit code: the program's own, or 0 where a file is whole at its new place."""
    try:
        os.makedirs(home, exist_ok=True)
        os.chdir(home)
        if command == "run":
            return run(float(silence_s), *arguments)
        return put(float(silence_s), *arguments) if command == "put" else get(*arguments)
    except FileExistsError:  # makedirs came upon a file
        answer("ENOTDIR")
    except OSError as error:
        answer(errno.errorcode.get(error.errno or 0, "EIO"))
    return 1


def run(silence_s: float, size: str, *argv: str) -> int:
    """Run a program in a process group of its own; what is left of the group ends with it."""
    stdin = os.memfd_create("stdin")  # all of it at once: then only signs of life are left to come
    left = int(size)
    while left:
        data = arriving(silence_s)[:left]
        if not data:
            return 1
        os.write(stdin, data)
        left -= len(data)
    os.lseek(stdin, 0, os.SEEK_SET)
    answer()
    try:
        group = os.posix_spawnp(
            argv[0],
            argv,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, stdin, 0)],
            setpgroup=0,
            setsigdef=[SIGPIPE, SIGXFSZ],  # Python ignores them, a program expects them
        )
    except OSError as error:
        os.write(2, os.fsencode(argv[0]) + b": " + (error.strerror or "").lower().encode())
        return NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
    os.close(stdin)
    _thread.start_new_thread(watch, (silence_s, group))
    code = os.waitstatus_to_exitcode(os.waitpid(group, 0)[1])
    kill(group)
    return code if code >= 0 else KILLED - code


def watch(silence_s: float, group: int) -> None:
    """Outlive the host, and the program does not."""
    while arriving(silence_s):
        pass
    kill(group)


def kill(group: int) -> None:
    try:
        os.killpg(group, SIGKILL)
    except ProcessLookupError:
        pass


def put(silence_s: float, path: str) -> int:
    """Write a file: whole, or as it was before. When the answer goes out, a power cut cannot undo it."""
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    unfinished = os.path.join(folder, f".{os.getpid()}.unfinished")  # short, however long the file's own name
    try:
        with open(unfinished, "wb") as out:
            stream = zlib.decompressobj()
            while not stream.eof:
                data = arriving(silence_s)
                if not data:
                    return 1
                out.write(stream.decompress(data))
            out.flush()
            os.fsync(out.fileno())
        os.rename(unfinished, path)
    finally:
        if os.path.exists(unfinished):
            os.unlink(unfinished)
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    answer()
    return 0


def get(path: str) -> int:
    """Send a file."""
    with open(path, "rb") as source:
        answer()
        while True:
            chunk = source.read(CHUNK_BYTES)
            if not chunk:
                sys.stdout.flush()
                return 0
            sys.stdout.buffer.write(chunk)


def arriving(silence_s: float) -> bytes:
    """What comes from the host next; nothing where the host is gone or silent."""
    return os.read(0, CHUNK_BYTES) if select.select([0], [], [], silence_s)[0] else b""


def answer(error: str = "") -> None:
    os.write(1, b"\0edgewright " + error.encode() + b"\0")


if __name__ == "__main__":
    os._exit(main(*sys.argv[1:]))  # at once: the other thread is reading
