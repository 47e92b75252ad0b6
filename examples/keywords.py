"""Spoken keywords, synthesized by espeak-ng: a folder of recordings for each word, as `edgewright train` reads them.

    python examples/keywords.py FOLDER [--speakers 60]

A speaker is an accent of English with a voice, and speaks each word twice, at a speed and pitch of its own, with noise
from 10 to 30 dB below it. "unknown" holds other words, "silence" noise alone. 16 kHz, 16 bits, mono, one second. The
synthesizer is no person: what is learned here shows that the way works, not how well it does with people.
"""

import argparse
import io
import itertools
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np

from edgewright_converter.language.augment.audio import Samples, add_noise, shift_time
from edgewright_runtime.errors import EdgewrightError, InputError

WORDS = ("yes", "no", "on", "off", "stop", "go", "up", "down")
OTHERS = ("house", "seven", "water", "marvin", "tree", "happy", "zero", "learn", "window", "paper", "music", "orange")
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-029", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd")
VOICES = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5")
RATE_HZ = 16_000
TAKES = 2
SPEAKERS = 60


def synthesize(folder: Path, speakers: int, seed: int = 0) -> int:
    """Fill the folder; returns how many recordings. Raises InputError where espeak-ng is missing."""
    if shutil.which("espeak-ng") is None:
        raise InputError("Keywords are spoken by espeak-ng, which is not installed here: install it.")
    rng = np.random.default_rng(seed)
    combined = list(itertools.product(ACCENTS, VOICES))
    chosen = [combined[place] for place in rng.permutation(len(combined))[:speakers]]
    written = 0
    for accent, voice in chosen:
        speaker = f"{accent}-{voice}"
        others = [OTHERS[place] for place in rng.permutation(len(OTHERS))[:TAKES]]
        for take in range(TAKES):
            speed, pitch = int(rng.integers(130, 190)), int(rng.integers(30, 70))
            for label, word in (*((word, word) for word in WORDS), ("unknown", others[take])):
                spoken = _spoken(word, f"{accent}+{voice}", speed, pitch)
                _write(folder / label / f"{speaker}_{take}.wav", _recorded(spoken, rng))
                written += 1
            hiss = rng.standard_normal(RATE_HZ).astype(np.float32) * 10 ** rng.uniform(-3.5, -1.5)
            _write(folder / "silence" / f"{speaker}_{take}.wav", hiss.astype(np.float32))
            written += 1
    return written


def _spoken(word: str, voice: str, speed: int, pitch: int) -> Samples:
    """(n,) float32 at RATE_HZ, without the silence around it."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", word]
    done = subprocess.run(command, capture_output=True, timeout=60)
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip()
        raise InputError(f"espeak-ng cannot say {word!r} as {voice} ({reason}): see `espeak-ng --voices`.")
    # Written to a pipe, the header cannot know how long the sound is: what follows it is the sound.
    with wave.open(io.BytesIO(done.stdout)) as file:
        rate = file.getframerate()
    samples = np.frombuffer(done.stdout[44:], "<i2").astype(np.float32) / 32768
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    samples = samples[loud[0] : loud[-1] + 1] if len(loud) else samples
    return _resampled(samples, rate, RATE_HZ)


def _resampled(samples: Samples, rate: int, wanted: int) -> Samples:
    """By its spectrum, cut at what the lower rate can hold."""
    length = round(len(samples) * wanted / rate)
    spectrum = np.fft.rfft(samples)[: length // 2 + 1]
    return (np.fft.irfft(spectrum, length) * length / len(samples)).astype(np.float32)


def _recorded(spoken: Samples, rng: np.random.Generator) -> Samples:
    """A second of sound with the word somewhere in it, at its own loudness, in noise."""
    spoken = spoken[:RATE_HZ]
    second = np.zeros(RATE_HZ, np.float32)
    second[: len(spoken)] = spoken
    second = shift_time(second, int(rng.integers(0, RATE_HZ - len(spoken) + 1)))
    second *= rng.uniform(0.2, 0.9) / max(1e-3, float(np.abs(second).max()))
    return add_noise(second, rng.uniform(10.0, 30.0), rng)


def _write(path: Path, samples: Samples) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.clip(np.round(samples * 32767), -32768, 32767).astype("<i2").tobytes())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--speakers", type=int, default=SPEAKERS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        written = synthesize(arguments.folder, arguments.speakers, arguments.seed)
    except EdgewrightError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{written:,} recordings in {arguments.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
