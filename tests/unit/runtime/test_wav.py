import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_runtime.audio.wav import read_recording, stream, write_wav
from edgewright_runtime.errors import InputError

RATE_HZ = 16_000
SAMPLES = np.arange(-500, 500, dtype=np.int16) * 7


def _wav(path: Path, rate_hz: int = RATE_HZ, channels: int = 1, width: int = 2, samples: bytes = b"") -> Path:
    """Written by Python's own module."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate_hz)
        out.writeframes(samples or SAMPLES.astype("<i2").tobytes())
    return path


def test_the_samples_of_another_program_s_wav_and_of_our_own(tmp_path: Path) -> None:
    assert np.array_equal(read_recording(_wav(tmp_path / "a.wav"), RATE_HZ), SAMPLES)
    write_wav(tmp_path / "b.wav", SAMPLES, RATE_HZ)
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()
    (tmp_path / "c.raw").write_bytes(SAMPLES.astype("<i2").tobytes())
    assert np.array_equal(read_recording(tmp_path / "c.raw", RATE_HZ), SAMPLES)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rate_hz": 8000}, "has 8000 samples a second, the model takes 16000: convert it, .*ffmpeg .*-ar 16000"),
        ({"channels": 2}, "has 2 channels, the model takes 1"),
        ({"width": 1}, r"samples of 8 bits \(integers\)"),
        ({"width": 3, "samples": bytes(300)}, "samples of 24 bits"),
    ],
)
def test_what_the_model_was_not_trained_on(tmp_path: Path, options: dict[str, int], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_recording(_wav(tmp_path / "wrong.wav", **options), RATE_HZ)  # type: ignore[arg-type]


def test_each_truncation_is_told(tmp_path: Path) -> None:
    whole = _wav(tmp_path / "whole.wav").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "cut.wav").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"is truncated|is empty|is no WAV file"):
            read_recording(tmp_path / "cut.wav", RATE_HZ)


def test_no_recording_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Cannot read the recording"):
        read_recording(tmp_path / "missing.wav", RATE_HZ)
    (tmp_path / "text.wav").write_text("these are words, no sound")
    with pytest.raises(InputError, match="is no WAV file"):
        read_recording(tmp_path / "text.wav", RATE_HZ)
    write_wav(tmp_path / "empty.wav", SAMPLES[:0], RATE_HZ)
    with pytest.raises(InputError, match="is empty"):
        read_recording(tmp_path / "empty.wav", RATE_HZ)
    (tmp_path / "odd.raw").write_bytes(b"abc")
    with pytest.raises(InputError, match="truncated: it has 3 bytes, expected a whole number of 16-bit samples"):
        read_recording(tmp_path / "odd.raw", RATE_HZ)


def test_the_kinds_of_samples_are_told_apart(tmp_path: Path) -> None:
    raw = bytearray(_wav(tmp_path / "a.wav").read_bytes())
    struct.pack_into("<HHIIHH", raw, 20, 3, 1, RATE_HZ, 4 * RATE_HZ, 4, 32)
    (tmp_path / "float.wav").write_bytes(raw)
    with pytest.raises(InputError, match=r"samples of 32 bits \(real numbers\)"):
        read_recording(tmp_path / "float.wav", RATE_HZ)


def test_the_extensible_format_other_chunks_and_odd_sizes() -> None:
    form = struct.pack("<HHIIHHHHIH14s", 0xFFFE, 1, RATE_HZ, 2 * RATE_HZ, 2, 16, 22, 16, 4, 1, bytes(14))
    content = SAMPLES.astype("<i2").tobytes()
    chunks = struct.pack("<4sI", b"LIST", 3) + b"abc\0" + struct.pack("<4sI", b"fmt ", len(form)) + form
    whole = b"RIFF" + struct.pack("<I", 0) + b"WAVE" + chunks + struct.pack("<4sI", b"data", len(content)) + content
    found = np.concatenate(list(stream(io.BytesIO(whole), RATE_HZ, "x.wav", whole=True)))
    assert np.array_equal(found, SAMPLES)


def test_a_pipe_s_header_does_not_know_the_length() -> None:
    head = io.BytesIO()
    with wave.open(head, "wb") as out:
        out.setnchannels(1), out.setsampwidth(2), out.setframerate(RATE_HZ)
        out.writeframes(b"")
    for size in (0, 0xFFFFFFFF):
        piped = head.getvalue()[:-4] + struct.pack("<I", size) + SAMPLES.astype("<i2").tobytes()
        assert np.array_equal(np.concatenate(list(stream(io.BytesIO(piped), RATE_HZ, "-"))), SAMPLES)
    with pytest.raises(InputError, match="is truncated"):
        list(stream(io.BytesIO(piped), RATE_HZ, "a file", whole=True))


class _Dribble(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._content, self._sizes = content, sizes

    def read(self, size: int = -1) -> bytes:
        count = min(size, self._sizes.pop() if self._sizes else size)
        chunk, self._content = self._content[:count], self._content[count:]
        return chunk


@given(st.lists(st.integers(1, 9), max_size=300))
def test_pieces_of_any_size_are_the_whole(sizes: list[int]) -> None:
    pipe = _Dribble(SAMPLES.astype("<i2").tobytes(), list(sizes))
    found = list(stream(pipe, RATE_HZ, "-", raw=True))  # type: ignore[arg-type]
    assert np.array_equal(np.concatenate(found), SAMPLES)


@given(st.binary(max_size=200))
def test_no_bytes_cause_anything_but_a_sentence(raw: bytes) -> None:
    for content in (raw, b"RIFF\0\0\0\0WAVE" + raw, b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + raw):
        try:
            assert all(piece.dtype == np.int16 for piece in stream(io.BytesIO(content), RATE_HZ, "x", whole=True))
        except InputError:
            continue
