"""SHA-256, whichever of Python's two it comes from."""

import hashlib
from pathlib import Path

import pytest

from edgewright_runtime.hashing import OPENSSL_PAYS_FROM_BYTES, hash_file, new_sha256, sha256_hex


@pytest.mark.parametrize("size_bytes", [0, 1, 100_000, OPENSSL_PAYS_FROM_BYTES])
def test_it_is_sha256(tmp_path: Path, size_bytes: int) -> None:
    data = bytes(range(256)) * (size_bytes // 256) + bytes(size_bytes % 256)
    (tmp_path / "data").write_bytes(data)
    assert sha256_hex(data) == hash_file(tmp_path / "data") == hashlib.sha256(data).hexdigest()


def test_openssl_hashes_only_what_is_large() -> None:
    assert type(new_sha256(0)).__module__ != "_hashlib"
    assert type(new_sha256(OPENSSL_PAYS_FROM_BYTES)).__module__ == "_hashlib"
