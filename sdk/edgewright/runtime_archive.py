"""The runtime's files as one archive, named by their content: a device has the very version that the host wants."""

import io
import tarfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from edgewright_runtime.hashing import sha256_hex

_ENTRY = b'from runpy import run_module\n\nrun_module("edgewright_runtime", run_name="__main__", alter_sys=True)\n'


class RuntimeArchive(NamedTuple):
    """digest: 64 hexadecimal digits; content: a tar file to be unpacked into a folder that Python can run."""

    digest: str
    content: bytes


@cache
def runtime_archive() -> RuntimeArchive:
    """Same files, same bytes."""
    package = Path(str(files("edgewright_runtime")))
    members = {"__main__.py": _ENTRY}
    for path in sorted(package.rglob("*.py")):
        members[f"edgewright_runtime/{path.relative_to(package).as_posix()}"] = path.read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return RuntimeArchive(sha256_hex(buffer.getvalue()), buffer.getvalue())
