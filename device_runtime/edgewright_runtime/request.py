"""What a host says to flash a bundle: its manifest, and the small ones among the files that the device lacks.

A zlib stream of a JSON object: "manifest", the text of manifest.json; "contents", files in base64. No names: a file is
known by its SHA-256. One round trip for many small files, where each by itself would cost the start of a process.
"""

import binascii
import json
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from .errors import InputError

LIMIT_BYTES = 64 << 20


class Request(NamedTuple):
    manifest: bytes
    contents: tuple[bytes, ...]


def pack_request(manifest: bytes, contents: Iterable[bytes] = ()) -> bytes:
    """For the standard input of store-flash and store-install."""
    encoded = [binascii.b2a_base64(content, newline=False).decode() for content in contents]
    return zlib.compress(json.dumps({"manifest": manifest.decode("ascii"), "contents": encoded}).encode())


def parse_request(raw: bytes) -> Request:
    """Raises InputError where this is no request."""
    try:
        stream = zlib.decompressobj()
        document = json.loads(stream.decompress(raw, LIMIT_BYTES))
        contents = tuple(binascii.a2b_base64(content) for content in document["contents"])
        if stream.eof:
            return Request(document["manifest"].encode("ascii"), contents)
    except (zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"The standard input is no request to flash ({error}): try again.") from error
    raise InputError("The request to flash is cut off: try again.")
