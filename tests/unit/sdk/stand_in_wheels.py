"""A wheel that looks like numpy's, and whatever may be wrong with one."""

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

NUMPY = "numpy-2.2.6-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl"
RECORD = "numpy-2.2.6.dist-info/RECORD"
FILES = {
    "numpy/__init__.py": b"answer = 42\n",
    "numpy/core.cpython-311.so": b"\x7fELF" * 100,
    "numpy/tests/test_core.py": b"raise SystemError\n",
    "numpy/f2py/crackfortran.py": b"raise SystemError\n",
    "numpy/__init__.pyi": b"answer: int\n",
    "numpy.libs/libopenblas.so": b"\x7fELF",
    "numpy-2.2.6.dist-info/METADATA": b"Name: numpy\nVersion: 2.2.6\n",
    "numpy-2.2.6.dist-info/LICENSE.txt": b"as you like\n",
    "numpy-2.2.6.dist-info/WHEEL": b"Wheel-Version: 1.0\n",
}


def make_record(files: Mapping[str, bytes]) -> bytes:
    digests = {name: base64.urlsafe_b64encode(hashlib.sha256(data).digest()) for name, data in files.items()}
    lines = [f"{name},sha256={digest.decode().rstrip('=')},{len(files[name])}" for name, digest in digests.items()]
    return "\n".join([*lines, f"{RECORD},,", ""]).encode()


def make_wheel(
    folder: Path, files: Mapping[str, bytes] = FILES, record: bytes | None = None, name: str = NUMPY
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path), data)
        archive.writestr(RECORD, make_record(files) if record is None else record)
    return folder / name
