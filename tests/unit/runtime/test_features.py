"""Features: a stream's are the whole's, and (in the converter's tests) they are those of tf.signal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright_runtime.audio.features import Extractor, Features, Stream
from edgewright_runtime.errors import InputError

SMALL = Features(rate_hz=8000, clip_samples=2000, window=200, hop=80, fft=256, bands=20, high_hz=4000, coefficients=8)
NOISE = np.random.default_rng(0).integers(-20_000, 20_000, 5000).astype(np.int16)


@pytest.mark.parametrize("kind", ["mfcc", "log-mel"])
def test_the_shape_is_what_is_promised(kind: str) -> None:
    features = SMALL._replace(kind=kind, coefficients=8 if kind == "mfcc" else 0)
    found = Extractor(features).clip(NOISE)
    assert found.shape == features.shape == (23, 8 if kind == "mfcc" else 20)
    assert found.dtype == np.float32
    assert np.isfinite(Extractor(features).clip(np.zeros(2000, np.int16))).all()


def test_a_tone_is_loudest_in_its_own_band() -> None:
    loud = []
    for frequency_hz in (300, 1000, 3000):
        tone = (20_000 * np.sin(2 * np.pi * frequency_hz / 8000 * np.arange(2000))).astype(np.int16)
        bands = Extractor(SMALL._replace(kind="log-mel", coefficients=0)).clip(tone).mean(0)
        mel = 1127 * np.log1p(np.array([20, 4000, frequency_hz]) / 700)
        expected = (mel[2] - mel[0]) / (mel[1] - mel[0]) * 21 - 1
        loud.append((int(bands.argmax()), expected))
    for band, expected in loud:
        assert abs(band - expected) <= 1


@settings(max_examples=50)
@given(st.lists(st.integers(0, 700), max_size=20))
def test_a_stream_gives_what_the_whole_gives(sizes: list[int]) -> None:
    extractor = Extractor(SMALL)
    stream = Stream(extractor)
    pieces = np.split(NOISE, np.minimum(np.cumsum([0, *sizes]), len(NOISE)).astype(int))
    found = np.concatenate([stream.feed(piece) for piece in pieces])
    np.testing.assert_allclose(found, extractor.frames(NOISE), rtol=0, atol=1e-5)


def test_a_clip_is_the_middle_or_has_silence_around_it() -> None:
    extractor = Extractor(SMALL)
    assert np.array_equal(extractor.clip(NOISE), extractor.frames(NOISE[1500:3500]))
    padded = np.concatenate([np.zeros(500, np.int16), NOISE[:1000], np.zeros(500, np.int16)])
    assert np.array_equal(extractor.clip(NOISE[:1000]), extractor.frames(padded))
    odd = np.concatenate([np.zeros(500, np.int16), NOISE[:999], np.zeros(501, np.int16)])
    found = extractor.clip(NOISE[:999])
    assert np.array_equal(found, extractor.frames(odd)) or np.array_equal(found, extractor.frames(np.roll(odd, 1)))


def test_json_both_ways() -> None:
    assert Features.from_json(SMALL.to_json()) == SMALL
    assert Features.from_json(Features().to_json()) == Features()


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "spectrum"},
        {"window": 201},
        {"window": 300},
        {"hop": 0},
        {"hop": 201},
        {"clip_samples": 100},
        {"bands": 0},
        {"high_hz": 4001.0},
        {"low_hz": -1.0},
        {"low_hz": float("nan")},
        {"coefficients": 21},
        {"kind": "log-mel"},
        {"rate_hz": 8000.0},
        {"bands": True},
    ],
)
def test_features_that_make_no_sense(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match="Features"):
        Extractor(SMALL._replace(**change))


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[]", b"{}", b'{"kind": "mfcc"}', b"[" * 100_000])
def test_what_are_no_features(raw: bytes) -> None:
    with pytest.raises(InputError, match=r"[Ff]eatures are"):
        Features.from_json(raw)
    with pytest.raises(InputError, match="numbers"):
        Features.from_json(SMALL.to_json().replace(b'"high_hz":4000', b'"high_hz":"4000"'))
