"""What the host says to flash a bundle: read back exactly, or refused."""

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_runtime import request
from edgewright_runtime.errors import InputError
from edgewright_runtime.request import Request, pack_request, parse_request


@given(st.text(st.characters(max_codepoint=127)), st.lists(st.binary()))
def test_what_is_packed_is_read_back(manifest: str, contents: list[bytes]) -> None:
    assert parse_request(pack_request(manifest.encode(), contents)) == Request(manifest.encode(), tuple(contents))


def test_it_is_hardly_larger_than_content_that_cannot_be_compressed() -> None:
    content = bytes(byte * byte * 37 % 251 ^ byte >> 3 & 255 for byte in range(20_000))
    content = zlib.compress(content, 9) * 3
    assert len(pack_request(b"{}", [content])) < 1.05 * len(content) + 100


@given(st.binary())
def test_noise_is_refused(noise: bytes) -> None:
    for raw in (noise, zlib.compress(noise)):
        with pytest.raises(InputError):
            parse_request(raw)


@pytest.mark.parametrize(
    "document",
    [
        3,
        [],
        {},
        {"manifest": "{}"},
        {"manifest": 3, "contents": []},
        {"manifest": "ä", "contents": []},
        {"manifest": "{}", "contents": ["A"]},
        {"manifest": "{}", "contents": [3]},
    ],
)
def test_json_that_is_no_request_is_refused(document: object) -> None:
    with pytest.raises(InputError, match="no request to flash"):
        parse_request(zlib.compress(json.dumps(document).encode()))


def test_half_a_request_is_refused() -> None:
    raw = pack_request(b"{}", [b"content"])
    for length in range(len(raw)):
        with pytest.raises(InputError):
            parse_request(raw[:length])


def test_a_request_that_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "LIMIT_BYTES", 1000)
    with pytest.raises(InputError):
        parse_request(pack_request(b" " * 1_000_000))
