"""The engine and numpy as one archive, ready to be unpacked where a device's Python finds them.

Of each wheel only what an interpreter imports goes in: 41 MB of ai-edge-litert become 18.
"""

import gzip
import io
import json
import marshal
import sys
import tarfile
from fnmatch import fnmatchcase
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path

from edgewright_runtime.hashing import sha256_hex

from .cache import Cache
from .wheels import read_wheel

# Raise it when the same wheels are packed into something else.
FORMAT = 1

# By wheel: what is kept, then what of that is not. In a pattern, * also stands for slashes. METADATA tells a package's
# version; a licence goes wherever its files go.
_METADATA = ("*.dist-info/METADATA", "*.dist-info/LICENSE*", "*.dist-info/licenses/*")
_KEPT: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # Not libLiteRt.so: the package loads it where it is there, for the newer CompiledModel API; without it the
    # interpreter answers alike, is as fast, and takes 2 MB less memory.
    "ai_edge_litert": (
        (
            "ai_edge_litert/__init__.py",
            "ai_edge_litert/interpreter.py",
            "ai_edge_litert/metrics_interface.py",
            "ai_edge_litert/metrics_portable.py",
            "ai_edge_litert/_pywrap_litert_interpreter_wrapper.so",
            "ai_edge_litert/libpywrap_litert_common.so",
        ),
        (),
    ),
    # Not its tests, nor what compiles C and Fortran, nor what type checkers read.
    "numpy": (
        ("numpy/*.py", "numpy/*.so", "numpy.libs/*"),
        (
            "*/tests/*",
            "*/_simd.*.so",
            "*/conftest.py",
            "*/setup.py",
            "numpy/distutils/*",
            "numpy/f2py/*",
            "numpy/typing/*",
        ),
    ),
    "tflite_runtime": (("tflite_runtime/*",), ()),
}
# Beyond it, a level costs more time on the host than it saves on the way: 22 MB in 1.0 s, the highest 21 MB in 4 s.
_COMPRESSION = 4
_UNCHECKED_HASH = (1).to_bytes(4, "little")  # PEP 552: named by its source's hash, which nobody compares on import


def site_archive(wheels: list[Path], minor: int) -> Path:
    """A compressed tar of the site folder, in the cache. minor: of the Python 3 that will use it.

    Compiled to bytecode where this Python is the same. Raises DeviceError for a damaged wheel, StorageError.
    """
    compiled = minor == sys.version_info.minor
    content = [FORMAT, MAGIC_NUMBER.hex() if compiled else None, *(wheel.parent.name for wheel in wheels)]
    name = f"site-{sha256_hex(json.dumps(content).encode())[:16]}.tar.gz"
    cache = Cache("sites")
    with cache.workspace() as folder:
        found = cache.find(lambda file: file == name)
        if found is not None:
            return found
        files = {path: data for wheel in wheels for path, data in prune(wheel.name, read_wheel(wheel)).items()}
        if compiled:
            files |= {_compiled_name(path): _compile(path, data) for path, data in files.items() if path[-3:] == ".py"}
        (folder / name).write_bytes(_pack(files))
        return cache.add(folder / name)


def prune(wheel: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """What of a wheel's files goes onto a device."""
    kept, dropped = _KEPT[wheel.partition("-")[0].lower()]

    def matches(path: str, patterns: tuple[str, ...]) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in patterns)

    return {
        path: data
        for path, data in files.items()
        if matches(path, _METADATA) or (matches(path, kept) and not matches(path, dropped))
    }


def _compile(path: str, source: bytes) -> bytes:
    code = compile(source, path, "exec", dont_inherit=True)
    return MAGIC_NUMBER + _UNCHECKED_HASH + source_hash(source) + marshal.dumps(code)


def _compiled_name(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/__pycache__/{name[:-3]}.{sys.implementation.cache_tag}.pyc"


def _pack(files: dict[str, bytes]) -> bytes:
    """Same files, same bytes."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", _COMPRESSION, buffer, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in sorted(files):
            entry = tarfile.TarInfo(path)
            entry.size = len(files[path])
            archive.addfile(entry, io.BytesIO(files[path]))
    return buffer.getvalue()
