"""Keywords: features equal to TensorFlow's, the model, and the whole way from a folder of recordings to a device."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgewright.cli.main import cli
from edgewright.evaluate import KERAS, evaluate
from edgewright.remote import Remote
from edgewright.run import run
from edgewright.transports import LocalTransport
from edgewright_converter.language.zoo import build, estimate
from edgewright_runtime.audio.features import FLOOR, Extractor, Features
from edgewright_runtime.audio.wav import write_wav

pytestmark = pytest.mark.slow

RATE_HZ = 8000
FEATURES = Features("mfcc", RATE_HZ, 4000, 320, 160, 512, 20, 20.0, 4000.0, 8)


@pytest.mark.parametrize(
    "features",
    [Features(), Features("log-mel", 16_000, 16_000, 400, 160, 512, 64, 125.0, 7500.0, 0), FEATURES],
    ids=["mfcc", "log-mel", "small"],
)
def test_features_are_those_of_tf_signal(features: Features) -> None:
    """On silence, noise, a tone and a clipped one; TensorFlow's in float64 too, as quiet bands drown in float32."""
    import tensorflow as tf

    steps = np.arange(features.clip_samples)
    draw = np.random.default_rng(0)
    sounds = [
        np.zeros(features.clip_samples),
        draw.normal(0, 5000, features.clip_samples),
        20_000 * np.sin(2 * np.pi * 440 / features.rate_hz * steps),
        np.where(steps // 40 % 2, 32767, -32768),
    ]
    for sound in sounds:
        samples = np.clip(sound, -32768, 32767).astype(np.int16)
        spectrum = tf.abs(
            tf.signal.stft(tf.constant(samples / 32768.0), features.window, features.hop, features.fft, pad_end=False)
        )
        bands = tf.signal.linear_to_mel_weight_matrix(
            features.bands, spectrum.shape[-1], features.rate_hz, features.low_hz, features.high_hz, dtype=tf.float64
        )
        expected = tf.math.log(spectrum @ bands + FLOOR)
        if features.kind == "mfcc":
            expected = tf.signal.mfccs_from_log_mel_spectrograms(expected)[..., : features.coefficients]
        np.testing.assert_allclose(Extractor(features).frames(samples), expected.numpy(), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(("width", "depth", "classes"), [(16, 1, 3), (64, 4, 12), (24, 3, 5)])
def test_the_estimate_counts_what_the_model_has(width: int, depth: int, classes: int) -> None:
    sizes = {"vocabulary": 10, "length": 49, "width": width, "depth": depth}
    model = build("ds-cnn", heads={"label": classes}, **sizes)
    assert model.count_params() == estimate("ds-cnn", classes=classes, **sizes).parameters
    assert model.output_shape == (None, classes)


def _say(word: str, speaker: int, draw: np.random.Generator) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    """A low or a high tone that swells, or nothing but the room."""
    steps = np.arange(4000) / RATE_HZ
    pitch_hz = {"low": 300.0, "high": 1800.0, "silence": 0.0}[word] * (0.9 + 0.02 * speaker)
    swell = np.exp(-(((steps - 0.25 + 0.02 * draw.standard_normal()) / 0.1) ** 2))
    tone = 9000 * swell * np.sin(2 * np.pi * pitch_hz * steps)
    return np.asarray(tone + 100 * draw.standard_normal(4000), np.int16)


def test_from_a_folder_of_recordings_to_a_device(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for word in ("low", "high", "silence"):
        (tmp_path / "words" / word).mkdir(parents=True)
        for speaker in range(10):
            for take in range(2):
                path = tmp_path / "words" / word / f"s{speaker}_{take}.wav"
                write_wav(path, _say(word, speaker, draw), RATE_HZ)
    (tmp_path / "features.json").write_bytes(FEATURES.to_json())

    def call(*arguments: str | Path) -> str:
        done = CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    model, bundle = tmp_path / "kw.keras", tmp_path / "kw.ewb"
    sizes = ("--width", "8", "--depth", "1", "--features", tmp_path / "features.json")
    course = ("--epochs", "30", "--batch", "8", "--learning-rate", "0.01", "--label-smoothing", "0")
    changes = ("--augment", "noise=0.3,shift=0.3")
    call("train", tmp_path / "words", "--model", "ds-cnn", *sizes, *course, *changes, "-o", model)
    call("convert", model, "--recipe", "int8", "--threshold", "0.5", "-o", bundle)
    home = tmp_path / "home"
    Remote("kitchen", LocalTransport(home), sys.executable).install_runtime()
    with Remote("kitchen", LocalTransport(home), sys.executable) as kitchen:
        found = evaluate(bundle, data=tmp_path / "kw.test.csv", keras=model, devices=[kitchen])
        in_keras, on_device = found.agreements
        assert (on_device.unequal_answers, on_device.unequal_inputs) == (0, 0)
        assert in_keras.max_difference < 0.1
        assert found.scores["kitchen"].accuracy.value > 0.8
        assert found.scores[KERAS].samples == len((tmp_path / "kw.test.csv").read_text().splitlines()) - 1
        said = ("silence", "low", "silence", "silence", "high", "silence")
        sound = np.concatenate([_say(word, 3, draw) for word in said])
        write_wav(tmp_path / "all.wav", sound, RATE_HZ)
        heard: list[dict[str, object]] = []
        answer = run(bundle, kitchen, sound=tmp_path / "all.wav", heard=heard.append)
        assert [spotted["label"] for spotted in answer["spotted"]] == ["low", "high"]
        assert [part["spotted"] for part in heard] == answer["spotted"]
    assert json.loads((tmp_path / "kw.train.json").read_text())["architecture"]["model"] == "ds-cnn"
