"""What a host says to flash a bundle: its manifest, and some of the files that the device lacks.

A zlib stream: a line of JSON, the sizes of all that follows; then manifest.json and the files, one after the other.
They have no names: a file is known by its SHA-256. One round trip for many small files, where each by itself would cost
the start of a process.
"""

import json
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from .errors import InputError

LIMIT_BYTES = 64 << 20


class Request(NamedTuple):
    """manifest: manifest.json; contents: of files."""

    manifest: bytes
    contents: tuple[bytes, ...]


def pack_request(manifest: bytes, contents: Iterable[bytes] = ()) -> bytes:
    """For the standard input of store-flash and store-install."""
    parts = [manifest, *contents]
    header = json.dumps([len(part) for part in parts]).encode()
    return zlib.compress(b"".join([header, b"\n", *parts]))


def parse_request(raw: bytes) -> Request:
    """Raises InputError where this is no request."""
    stream = zlib.decompressobj()
    try:
        header, _, rest = stream.decompress(raw, LIMIT_BYTES).partition(b"\n")
        sizes = json.loads(header)
        if not stream.eof or sum(sizes) != len(rest) or min(sizes) < 0:
            raise ValueError("it is cut off")
        ends = [sum(sizes[: count + 1]) for count in range(len(sizes))]
        manifest, *contents = (rest[end - size : end] for size, end in zip(sizes, ends))
    except (zlib.error, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"The standard input is no request to flash ({error}): try again.") from error
    return Request(manifest, tuple(contents))
