"""Recordings: WAV files and streams, or raw samples, strictly as the model was trained on: mono, 16 bits, one rate.

Nothing is resampled, mixed down or guessed: a model that hears another rate answers, and answers wrong. What differs is
told with the command that converts it.

Format: RIFF, "Multimedia Programming Interface and Data Specifications 1.0" (1991); WAVE_FORMAT_EXTENSIBLE as in
Microsoft's "Multiple channel audio data and WAVE files".
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ..engines import Array
from ..errors import InputError

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
RAW_SUFFIXES = (".raw", ".pcm", ".s16")
CHUNK_SAMPLES = 1600  # a tenth of a second, mostly: what is heard waits for no more
_UNKNOWN_BYTES = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # what programs write that cannot seek back in a pipe
_HEADER_LIMIT_BYTES = 1 << 20  # of the chunks before the samples: pictures and titles have no place there


def read_recording(path: Path, rate_hz: int) -> Array:
    """(samples,) int16: a whole file, WAV or (by its suffix .raw, .pcm, .s16) raw little-endian samples.

    Raises InputError where it is no recording of that rate, in mono and 16 bits, complete and not empty.
    """
    try:
        with path.open("rb") as file:
            raw = path.suffix.lower() in RAW_SUFFIXES
            parts = list(stream(file, rate_hz, str(path), raw=raw, whole=True))
    except OSError as error:
        raise InputError(f"Cannot read the recording {path} ({error.strerror}): check the path.") from error
    return np.concatenate(parts)


def stream(file: IO[bytes], rate_hz: int, name: str, raw: bool = False, whole: bool = False) -> Iterator[Array]:
    """Pieces of (samples,) int16 as they come. raw: without a WAV's header; whole: a file, which must be as long as its
    header says, and not a pipe, whose header may not know. Raises InputError as ``read_recording``.
    """
    size_bytes = None if raw else _read_header(file, rate_hz, name)
    if size_bytes in _UNKNOWN_BYTES and not whole:
        size_bytes = None
    read_bytes, rest = 0, b""
    while size_bytes is None or read_bytes < size_bytes:
        wanted = 2 * CHUNK_SAMPLES if size_bytes is None else min(2 * CHUNK_SAMPLES, size_bytes - read_bytes)
        chunk = file.read(wanted)
        if not chunk:
            break
        read_bytes += len(chunk)
        chunk = rest + chunk
        rest = chunk[len(chunk) // 2 * 2 :]
        if len(chunk) > 1:
            yield np.frombuffer(chunk[: len(chunk) // 2 * 2], "<i2").astype(np.int16)
    if read_bytes == 0:
        raise InputError(f"The recording {name} is empty: record something.")
    if rest or (size_bytes is not None and read_bytes < size_bytes):
        said = "a whole number of 16-bit samples" if size_bytes is None else f"{size_bytes} bytes of samples"
        raise InputError(f"The recording {name} is truncated: it has {read_bytes} bytes, expected {said}.")


def write_wav(path: Path, samples: Array, rate_hz: int) -> None:
    """samples: (n,) int16, as a mono WAV."""
    content = samples.astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, rate_hz, 2 * rate_hz, 2, 16)
    head = struct.pack("<4sI4s", b"RIFF", 4 + len(form) + 8 + len(content), b"WAVE")
    path.write_bytes(head + form + struct.pack("<4sI", b"data", len(content)) + content)


def _read_header(file: IO[bytes], rate_hz: int, name: str) -> int:
    """Up to the first sample; returns the bytes of samples that the header promises."""
    riff = file.read(12)
    if len(riff) < 12 or riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
        kind = "is empty" if not riff else "is no WAV file (it does not begin with RIFF … WAVE)"
        raise InputError(f"The recording {name} {kind}: give a .wav of 16-bit samples, or raw samples in a .raw file.")
    checked, skipped_bytes = False, 0
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise InputError(f"The recording {name} is truncated: it ends before its samples.")
        kind, size_bytes = struct.unpack("<4sI", head)
        if kind == b"data":
            if not checked:
                raise InputError(f"The recording {name} is damaged: its format does not come before its samples.")
            return int(size_bytes)
        padded_bytes = size_bytes + size_bytes % 2
        skipped_bytes += padded_bytes
        body = file.read(padded_bytes) if skipped_bytes <= _HEADER_LIMIT_BYTES else b""
        if len(body) < padded_bytes:
            raise InputError(f"The recording {name} is truncated or damaged: its header has no end.")
        if kind == b"fmt ":
            _check_format(body, rate_hz, name)
            checked = True


def _check_format(body: bytes, rate_hz: int, name: str) -> None:
    if len(body) < 16:
        raise InputError(f"The recording {name} is damaged: its format takes 16 bytes, there are {len(body)}.")
    code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if code == EXTENSIBLE and len(body) >= 26:
        (code,) = struct.unpack_from("<H", body, 24)
    wrong = []
    if rate != rate_hz:
        wrong.append(f"{rate} samples a second, the model takes {rate_hz}")
    if channels != 1:
        wrong.append(f"{channels} channels, the model takes 1")
    if code != PCM or bits != 16:
        kind = {PCM: "integers", FLOAT: "real numbers"}.get(code, f"format {code}")
        wrong.append(f"samples of {bits} bits ({kind}), the model takes integers of 16")
    if wrong:
        raise InputError(
            f"The recording {name} has {'; '.join(wrong)}: convert it, for instance with "
            f"`ffmpeg -i IN.wav -ar {rate_hz} -ac 1 -c:a pcm_s16le OUT.wav`."
        )
