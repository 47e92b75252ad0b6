"""Sounds, slightly changed. NumPy alone. samples: (n,) float32 from -1 to 1; every result has as many, and is float32.

Stretching is by overlapping pieces whose waves fit (WSOLA: Verhelst and Roelands 1993), the masks are those of
SpecAugment (Park et al. 2019).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError

Samples = np.ndarray[Any, np.dtype[np.float32]]
_HOP, _SEARCH = 256, 256  # samples: 16 ms at 16 kHz; the search spans a period of 31 Hz


@dataclass(frozen=True)
class AudioAugmenter:
    """noise, pitch, rate, shift: probabilities; each change draws its size evenly from its range.

    snr_db: of the noise; semitones: of the pitch; rates: of the speed, 1.1 is a tenth faster; shift_share: of the
    length. Raises InputError for a probability beyond 0 to 1.
    """

    noise: float = 0.0
    pitch: float = 0.0
    rate: float = 0.0
    shift: float = 0.0
    snr_db: tuple[float, float] = (5.0, 25.0)
    semitones: tuple[float, float] = (-3.0, 3.0)
    rates: tuple[float, float] = (0.85, 1.15)
    shift_share: tuple[float, float] = (-0.1, 0.1)

    def __post_init__(self) -> None:
        for name in ("noise", "pitch", "rate", "shift"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"The probability {name} is {getattr(self, name):g}: expected 0 to 1.")

    def __call__(self, samples: Samples, rng: np.random.Generator) -> Samples:
        """A changed copy, as long as the sound was."""
        if rng.random() < self.pitch:
            samples = shift_pitch(samples, rng.uniform(*self.semitones))
        if rng.random() < self.rate:
            samples = _fitted(stretch(samples, rng.uniform(*self.rates)), len(samples))
        if rng.random() < self.shift:
            samples = shift_time(samples, round(rng.uniform(*self.shift_share) * len(samples)))
        if rng.random() < self.noise:
            samples = add_noise(samples, rng.uniform(*self.snr_db), rng)
        return samples


def add_noise(samples: Samples, snr_db: float, rng: np.random.Generator, noise: Samples | None = None) -> Samples:
    """Noise so loud that the sound's power is ``snr_db`` decibels above it. noise: a recording, repeated or cut to fit
    from a random place on; white without one. Silence stays as it is."""
    if noise is None:
        noise = rng.standard_normal(len(samples)).astype(np.float32)
    else:
        noise = np.resize(np.roll(noise, -int(rng.integers(len(noise)))), len(samples))
    power, own = np.mean(np.square(samples, dtype=np.float64)), np.mean(np.square(noise, dtype=np.float64))
    if power == 0 or own == 0:
        return samples.copy()
    louder: Samples = (samples + noise * np.sqrt(power / own / 10 ** (snr_db / 10))).astype(np.float32)
    return louder


def shift_time(samples: Samples, offset: int) -> Samples:
    """Later by ``offset`` samples, earlier by a negative one; silence moves in."""
    result = np.zeros_like(samples)
    if abs(offset) < len(samples):
        target = slice(max(offset, 0), len(samples) + min(offset, 0))
        source = slice(max(-offset, 0), len(samples) - max(offset, 0))
        result[target] = samples[source]
    return result


def stretch(samples: Samples, rate: float) -> Samples:
    """``rate`` times faster at the same pitch: (round(n / rate),)."""
    if not rate > 0:
        raise InputError(f"The rate is {rate:g}: expected a number above 0, 1.1 for a tenth faster.")
    length = round(len(samples) / rate)
    window = np.hanning(2 * _HOP + 1)[:-1]  # two of them, a hop apart, add up to 1
    steps = length // _HOP + 2
    # Both ends are padded, so that the first and the last window are whole ones.
    padded = np.pad(samples.astype(np.float64), (_HOP + _SEARCH, round(2 * _HOP * rate) + 4 * _HOP + 2 * _SEARCH))
    result = np.zeros(_HOP * (steps + 1))
    place = _SEARCH
    for step in range(steps):
        wanted = min(round(step * _HOP * rate) + _SEARCH, len(padded) - 2 * _HOP - _SEARCH)
        if step:
            # What follows the last piece in the sound itself tells which place near the wanted one goes on best.
            follows = padded[place + _HOP : place + 3 * _HOP]
            near = padded[wanted - _SEARCH : wanted + _SEARCH + len(follows)]
            wanted += int(np.correlate(near, follows, "valid").argmax()) - _SEARCH
        place = min(wanted, len(padded) - 3 * _HOP)
        result[step * _HOP : (step + 2) * _HOP] += padded[place : place + 2 * _HOP] * window
    return _fitted(result[_HOP:].astype(np.float32), length)


def shift_pitch(samples: Samples, semitones: float) -> Samples:
    """Higher by that many semitones at the same speed: stretched, then read faster by linear interpolation."""
    ratio = 2 ** (semitones / 12)
    slow = stretch(samples, 1 / ratio)
    higher: Samples = np.interp(np.arange(len(samples)) * ratio, np.arange(len(slow)), slow).astype(np.float32)
    return higher


def spec_augment(
    features: "np.ndarray[Any, Any]",
    rng: np.random.Generator,
    *,
    time_masks: int = 2,
    time_width: int = 10,
    band_masks: int = 2,
    band_width: int = 8,
    value: float | None = None,
) -> "np.ndarray[Any, Any]":
    """features: (frames, bands) → a copy in which stretches of frames and of bands, up to so wide, are the mean (or
    ``value``)."""
    result = features.copy()
    fill = float(features.mean()) if value is None else value
    for axis, masks, width in ((0, time_masks, time_width), (1, band_masks, band_width)):
        size = features.shape[axis]
        for _ in range(masks):
            wide = int(rng.integers(0, min(width, size) + 1))
            start = int(rng.integers(0, size - wide + 1))
            if axis == 0:
                result[start : start + wide] = fill
            else:
                result[:, start : start + wide] = fill
    return result


def _fitted(samples: Samples, length: int) -> Samples:
    return np.pad(samples[:length], (0, max(0, length - len(samples)))).astype(np.float32)
