"""What the host says to flash a bundle: read back exactly, or refused."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_runtime import request
from edgewright_runtime.errors import InputError
from edgewright_runtime.request import Request, pack_request, parse_request


@given(st.binary(), st.lists(st.binary()))
def test_what_is_packed_is_read_back(manifest: bytes, contents: list[bytes]) -> None:
    assert parse_request(pack_request(manifest, contents)) == Request(manifest, tuple(contents))


def test_words_are_compressed_and_noise_is_not_inflated() -> None:
    words = " ".join(str(number) for number in range(20_000)).encode()
    assert len(pack_request(b"{}", [words])) < 0.5 * len(words)
    noise = random.Random(0).randbytes(100_000)
    assert len(pack_request(b"{}", [noise])) < 1.01 * len(noise)


@given(st.binary())
def test_noise_is_refused(noise: bytes) -> None:
    for raw in (noise, zlib.compress(noise)):
        with pytest.raises(InputError):
            parse_request(raw)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"[]\n",
        b"3\n123",
        b"[3]\n12",
        b"[3]\n1234",
        b"[4, -1]\n123",
        b'["3"]\n123',
        b"[3.0]\n123",
        b"{}\n",
        b"[" * 100_000,
    ],
)
def test_sizes_that_do_not_fit_are_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="no request to flash"):
        parse_request(zlib.compress(content))


def test_half_a_request_is_refused() -> None:
    raw = pack_request(b"{}", [b"content"])
    for length in range(len(raw)):
        with pytest.raises(InputError):
            parse_request(raw[:length])


def test_a_request_that_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "LIMIT_BYTES", 1000)
    with pytest.raises(InputError):
        parse_request(pack_request(b" " * 1_000_000))
