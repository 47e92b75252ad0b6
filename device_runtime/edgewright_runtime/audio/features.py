"""From samples to features: frames, a Hann window, the spectrum, mel bands, logarithms, for MFCC a cosine transform.

    samples (n,) int16 → /32768 → frames (frames, window) → |rfft| → mel (frames, bands) → log(x + 1e-6) → [DCT-II]

The same numbers as ``tf.signal``: ``stft`` with its periodic Hann window and no padding at the end,
``linear_to_mel_weight_matrix``, and ``mfccs_from_log_mel_spectrograms``. All in float64, for quiet bands drown in the
rounding of float32 spectra, and rounded to float32 once, at the end: so a stream gives what the whole recording gives,
and a device what the host gave in training.
"""

import json
from typing import Any, NamedTuple

import numpy as np

from ..engines import Array
from ..errors import InputError

KINDS = ("log-mel", "mfcc")
FLOOR = 1e-6
_BREAK_HZ, _HIGH_Q = 700.0, 1127.0  # of the mel scale, as in HTK: 1127 ln(1 + f / 700)


class Features(NamedTuple):
    """How a recording becomes what a model takes. kind: one of KINDS; clip_samples: what one answer is about; window,
    hop, fft: in samples, fft at least the window; low_hz, high_hz: the ends of the mel bands; coefficients: of the MFCC
    that are kept (for "log-mel" 0). Made by ``Features.from_json`` or checked by ``check``.
    """

    kind: str = "mfcc"
    rate_hz: int = 16_000
    clip_samples: int = 16_000
    window: int = 640
    hop: int = 320
    fft: int = 1024
    bands: int = 40
    low_hz: float = 20.0
    high_hz: float = 7600.0
    coefficients: int = 10

    @property
    def frames(self) -> int:
        """In one clip."""
        return 1 + (self.clip_samples - self.window) // self.hop

    @property
    def shape(self) -> tuple[int, int]:
        """(frames, features of each) of one clip."""
        return self.frames, self.coefficients if self.kind == "mfcc" else self.bands

    def check(self) -> "Features":
        """Itself. Raises InputError where a number makes no sense."""
        whole = (self.rate_hz, self.clip_samples, self.window, self.hop, self.fft, self.bands, self.coefficients)
        if self.kind not in KINDS or any(type(number) is not int for number in whole):
            raise InputError(f"Features are {' or '.join(KINDS)} with whole numbers of samples, bands, coefficients.")
        sizes = (
            1_000 <= self.rate_hz <= 192_000,
            2 <= self.window <= self.fft <= 1 << 16,
            self.window % 2 == 0,
            1 <= self.hop <= self.window <= self.clip_samples <= 60 * self.rate_hz,
            1 <= self.bands <= 256,
            0 <= self.low_hz < self.high_hz <= self.rate_hz / 2,
            1 <= self.coefficients <= self.bands if self.kind == "mfcc" else self.coefficients == 0,
        )
        if not all(sizes):
            raise InputError(
                "Features need an even window within the clip, a hop within the window, an fft of the window's size or "
                "more, bands between 0 Hz and half the rate, and no more coefficients than bands (0 for log-mel)."
            )
        return self

    def to_json(self) -> bytes:
        """Canonical: the same features give the same bytes."""
        return json.dumps(self._asdict(), sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"

    @classmethod
    def from_json(cls, raw: bytes) -> "Features":
        """Raises InputError where it is not what ``to_json`` writes."""
        try:
            document = json.loads(raw.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError("The features are not readable as JSON: write them with Features.to_json.") from error
        if not isinstance(document, dict) or set(document) != set(cls._fields):
            raise InputError(f"Features are a JSON object with exactly the keys {', '.join(sorted(cls._fields))}.")
        if any(type(document[key]) not in (int, float) for key in ("low_hz", "high_hz")):
            raise InputError("The features' low_hz and high_hz are numbers.")
        return cls(**document).check()


class Extractor:
    """Computes features. The tables are made once: windows, bands and cosines."""

    def __init__(self, features: Features) -> None:
        self.features = features.check()
        f = features
        steps = np.arange(f.window)
        self._window = 0.5 - 0.5 * np.cos(2 * np.pi * steps / f.window)  # periodic
        self._bands = _mel_bands(f)
        angles = np.pi / f.bands * np.outer(np.arange(f.bands) + 0.5, np.arange(f.coefficients))
        self._cosines = 2 * np.cos(angles) / np.sqrt(2 * f.bands)

    def clip(self, samples: Array) -> Array:
        """(samples,) int16 → (frames, features) float32 of one clip: the middle of what is longer; what is shorter has
        silence around it."""
        f = self.features
        start = (len(samples) - f.clip_samples) // 2
        if start >= 0:
            return self.frames(samples[start : start + f.clip_samples])
        padded = np.zeros(f.clip_samples, np.int16)
        padded[-start : len(samples) - start] = samples
        return self.frames(padded)

    def frames(self, samples: Array) -> Array:
        """(samples,) int16 → (frames, features) float32, as many frames as are complete."""
        f = self.features
        count = max(0, 1 + (len(samples) - f.window) // f.hop)
        rows = np.arange(count)[:, np.newaxis] * f.hop + np.arange(f.window)
        framed = samples[rows].astype(np.float64) / 32768.0 * self._window
        spectrum = np.abs(np.fft.rfft(framed, f.fft, axis=1))
        found = np.log(spectrum @ self._bands + FLOOR)
        if f.kind == "mfcc":
            found = found @ self._cosines
        return found.astype(np.float32)


class Stream:
    """The features of a recording that comes in pieces: the same as those of the whole."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self._rest = np.zeros(0, np.int16)

    def feed(self, samples: Array) -> Array:
        """(samples,) int16 → (frames, features) float32: the frames that these samples complete, perhaps none."""
        features = self._extractor.features
        waiting = np.concatenate([self._rest, samples])
        found = self._extractor.frames(waiting)
        self._rest = waiting[len(found) * features.hop :]
        return found


def _mel_bands(features: Features) -> Array:
    """(fft // 2 + 1, bands) float64: triangles that are equally wide in mel. The constant part counts for no band."""
    bins = 1 + features.fft // 2
    frequencies = _mel(np.linspace(0.0, features.rate_hz / 2, bins)[1:])[:, np.newaxis]
    edges = np.linspace(_mel(features.low_hz), _mel(features.high_hz), features.bands + 2)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (frequencies - lower) / (centre - lower), (upper - frequencies) / (upper - centre)
    return np.pad(np.maximum(0.0, np.minimum(rising, falling)), ((1, 0), (0, 0)))


def _mel(frequency_hz: Any) -> Any:
    return _HIGH_Q * np.log1p(np.asarray(frequency_hz) / _BREAK_HZ)
