from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgewright_runtime.audio.features import Features
from edgewright_runtime.audio.spot import Settings, Spotted, Spotter, settings_of, spot

RATE_HZ = 8000
FEATURES = Features("log-mel", RATE_HZ, 4000, 200, 80, 256, 20, 20.0, 4000.0, 0)
LABELS = ["low", "high", "silence"]
Array = np.ndarray[Any, Any]


def _ask(frames: Array) -> Array:
    """How much of the window is a low tone, a high one, or nothing."""
    loud = frames.max(1) > 0
    high = frames.argmax(1) > 12
    return np.array([(loud & ~high).mean(), (loud & high).mean(), (~loud).mean()])


def _tone(frequency_hz: float, seconds: float) -> Array:
    steps = np.arange(round(seconds * RATE_HZ))
    return (20_000 * np.sin(2 * np.pi * frequency_hz / RATE_HZ * steps)).astype(np.int16)


def _silence(seconds: float) -> Array:
    return np.zeros(round(seconds * RATE_HZ), np.int16)


SOUND = np.concatenate([_silence(1), _tone(300, 0.6), _silence(1.5), _tone(3000, 0.6), _silence(1)])


def _found(sound: Array, size: int = 1000, ask: Callable[[Array], Array] = _ask, **settings: Any) -> list[Spotted]:
    spotter = Spotter(FEATURES, LABELS, ask, Settings(**settings))
    return list(spot(spotter, np.split(sound, range(size, len(sound), size))))


def test_each_word_is_told_once_at_its_time() -> None:
    low, high = _found(SOUND)
    assert (low.label, high.label) == ("low", "high")
    assert 1.3 < low.at_s < 1.8
    assert 3.4 < high.at_s < 3.9
    assert low.probability >= 0.6


@pytest.mark.parametrize("size", [1, 77, 4096, 100_000])
def test_pieces_of_any_size_decide_alike(size: int) -> None:
    assert _found(SOUND[::1], size=size) == _found(SOUND)


def test_the_same_word_again_after_the_pause() -> None:
    twice = np.concatenate([SOUND[: 2 * RATE_HZ], SOUND[: 2 * RATE_HZ]])
    assert [spotted.label for spotted in _found(twice)] == ["low", "low"]
    assert [spotted.label for spotted in _found(twice, refractory_s=10.0)] == ["low"]
    assert len(_found(twice, refractory_s=0.0)) > 2


def test_smoothing_keeps_a_single_window_from_deciding() -> None:
    answers = iter([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0] * 100)

    def flicker(frames: Array) -> Array:
        value = next(answers)
        return np.array([value, 0.0, 1 - value])

    assert _found(_silence(1.5), ask=flicker) == []
    assert len(_found(_silence(1.5), ask=flicker, smooth=1)) > 0


def test_the_threshold_and_the_background_count() -> None:
    assert _found(SOUND, threshold=1.1) == []
    assert [spotted.label for spotted in _found(SOUND, background=("silence", "low"))] == ["high"]
    assert "silence" in {spotted.label for spotted in _found(SOUND, background=())}


def test_less_than_a_clip_is_filled_with_silence() -> None:
    (only,) = _found(_tone(300, 0.45))
    assert only == Spotted(0.5, "low", only.probability)


def test_settings_come_from_the_task() -> None:
    assert settings_of({}) == Settings()
    assert settings_of({"threshold": 0.9, "background": ["noise"], "unknown": "x"}) == Settings(0.9, ("noise",))
