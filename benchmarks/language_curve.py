"""What helps with 50, 200 and 1,000 sentences: augmentation, pre-training on bare text, distillation. Basque intents.

All ways train a text-cnn of the same width in as many steps (but "brief"), on the same sentences, and are asked the
same test sentences (whole templates that nothing was trained on). With so few sentences it is chance which are drawn,
so there are several draws; the differences are paired, over draws and sentences, and their interval is a bootstrap over
both.

plain        the model alone, its words those of the few sentences
brief        plain in a third of the steps
augmented    plain, words swapped, deleted, inserted, typos
pieces       plain with pieces of words instead, learned from the few sentences
manual       pieces, learned from the few sentences and 6,000 paragraphs of LibreOffice's Basque help; the model first
             learns to tell hidden ones
requests     the same with 4,000 other requests, whose labels nobody looks at, in place of the help
unread       the pieces of "requests", without the pre-training: what the pre-training itself is worth
distilled    three models of twice the width, of three seeds, learn from the few sentences and answer those 4,000
             requests, which the words come from too; the small model learns the mean of their answers
linear       TF-IDF with a linear support vector machine, for comparison
"""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import baselines
import corpora
import numpy as np
from tasks import thin

from edgewright_converter.language.data import Corpus, Splits, split, write_csv
from edgewright_converter.language.tokenization import train_tokenizer
from edgewright_converter.language.training import Settings
from edgewright_converter.language.training.run import _train  # in this process: dozens of trainings of a few seconds
from edgewright_converter.pipeline import convert
from edgewright_converter.recipe import parse_recipe
from edgewright_runtime.text import Cleaning

SIZES, DRAWS = (50, 200, 1000), 3
WAYS = ("plain", "linear", "brief", "augmented", "pieces", "unread", "requests", "manual", "distilled")
AUGMENT = "swap=0.1,delete=0.1,insert=0.05,typos=0.02"
_SETTINGS = Settings(model="text-cnn", width=24, vocabulary=2000, length=16, batch=32)
_PIECES = replace(_SETTINGS, tokenizer="wordpiece", length=24)
_STEPS, _FEW_STEPS = 1800, 600  # of each training
_PARAGRAPHS, _REQUESTS = 6000, 4000
_TEACHERS, _DISTILL_BATCH = 3, 64
_DISTILL = """
[[passes]]
use = "distill"
student = "text-cnn"
teachers = {teachers}
width = 24
epochs = {epochs}
batch = {batch}
learning_rate = 3e-3
"""

Right = np.ndarray[Any, np.dtype[np.bool_]]


def curve(folder: Path, sizes: tuple[int, ...] = SIZES, draws: int = DRAWS) -> None:
    """Print it; finished trainings are kept in the folder."""
    splits = split(corpora.load("intents:eu"), test=0.18, validation=0)
    test = thin(splits.test, 1500)
    # Draw by draw, so that one that is interrupted leaves whole draws.
    each = [
        {(size, way): _right(folder, splits.train, test, size, draw, way) for size in sizes for way in WAYS}
        for draw in range(draws)
    ]
    right = {key: np.stack([one[key] for one in each]) for key in each[0]}
    print(f"\nBasque intents: {len(test):,} test sentences, {draws} draws of the training sentences")
    print(f"{'sentences':>9} {'way':<12} {'accuracy':>8} {'':<18} {'against plain':>13}")
    for (size, way), rows in sorted(right.items(), key=lambda item: item[0][0]):
        value, low, high = _interval(rows.astype(float))
        line = f"{size:>9,} {way:<12} {value:>8.4f} [{low:.4f}, {high:.4f}]"
        if way != "plain":
            value, low, high = _interval(rows.astype(float) - right[size, "plain"])
            verdict = "helps" if low > 0 else "hurts" if high < 0 else "no difference shown"
            line += f" {value:>+8.4f} [{low:+.4f}, {high:+.4f}]  {verdict if way != 'linear' else ''}"
        print(line)


def _interval(rows: "np.ndarray[Any, Any]") -> tuple[float, float, float]:
    """rows: (draws, sentences) → mean and its 95 % interval, by a bootstrap over draws and sentences alike."""
    rng = np.random.default_rng(0)
    means = []
    for _ in range(1000):
        drawn = rows[rng.integers(0, len(rows), len(rows))]
        means.append(drawn[:, rng.integers(0, rows.shape[1], rows.shape[1])].mean())
    low, high = np.percentile(means, [2.5, 97.5])
    return float(rows.mean()), float(low), float(high)


def _right(folder: Path, pool: Corpus, test: Corpus, size: int, draw: int, way: str) -> Right:
    """(test sentences,) whether the answer is right."""
    path = folder / f"curve-{size}-{draw}-{way}.json"
    if not path.is_file():
        order = np.random.default_rng((draw, 7)).permutation(len(pool))
        few, rest = pool.take(order[:size].tolist()), pool.take(order[size : size + _REQUESTS].tolist())
        right = baselines.linear(few, test) if way == "linear" else _trained(folder, few, rest, test, way, path.stem)
        path.write_text(json.dumps(right.tolist()))
        print(f"{path.stem}: {right.mean():.4f}", file=sys.stderr, flush=True)
    return np.array(json.loads(path.read_text()), bool)


def _trained(folder: Path, few: Corpus, rest: Corpus, test: Corpus, way: str, name: str) -> Right:
    # A test sentence of a class that the few sentences do not have cannot be answered rightly: it counts as wrong.
    known = np.isin(test.labels["label"], few.class_names())
    asked = test.take(np.flatnonzero(known).tolist())
    splits = Splits(few, few.take([]), asked)
    model = folder / f"{name}.keras"
    epochs = round((_FEW_STEPS if way == "brief" else _STEPS) / math.ceil(len(few) / _SETTINGS.batch))
    if way == "distilled":
        return _spread(known, _distilled(folder, splits, rest, name, epochs))
    settings = replace(_SETTINGS if way in ("plain", "brief", "augmented") else _PIECES, epochs=epochs)
    if way == "augmented":
        settings = replace(settings, augment=AUGMENT)
    elif way in ("manual", "requests", "unread"):
        corpus = _bare(folder, "manual" if way == "manual" else name, rest)
        settings = replace(settings, pretrain="masked", corpus=(str(corpus),))
        settings = replace(settings, pretrain_epochs=0 if way == "unread" else None)
    return _spread(known, _answered(model, _learn(splits, model, settings)))


def _learn(splits: Splits, model: Path, settings: Settings) -> Any:
    """The files beside the trained model."""
    return _train(splits, model, settings, False, lambda step, fraction: None).files


def _answered(model: Path, files: Any) -> Right:
    import keras

    answers = keras.models.load_model(model, compile=False)
    with np.load(files["data"]) as archive:
        return np.asarray(answers.predict(archive["x_test"], verbose=0).argmax(-1) == archive["y_test"])


def _spread(known: Right, right: Right) -> Right:
    result = np.zeros(len(known), bool)
    result[known] = right
    return result


def _distilled(folder: Path, splits: Splits, rest: Corpus, name: str, epochs: int) -> Right:
    from edgewright_converter.check import answers, engine_for
    from edgewright_runtime.bundle import Bundle

    texts = (*splits.train.texts, *rest.texts)
    size, length = _SETTINGS.vocabulary or 2000, _SETTINGS.length or 16
    tokenizer = train_tokenizer(texts, kind="words", size=size, max_length=length, cleaning=Cleaning(lowercase=True))
    words = folder / f"{name}.words.json"
    words.write_bytes(tokenizer.to_json())
    models = [folder / f"{name}-{seed}.keras" for seed in range(_TEACHERS)]
    for seed, model in enumerate(models):
        if not model.is_file():
            wide = replace(_SETTINGS, tokenizer=str(words), vocabulary=None, width=48, epochs=epochs, seed=seed)
            _learn(splits, model, wide)
    with np.load(models[-1].with_suffix(".data.npz")) as archive:
        data = {key: archive[key] for key in archive.files}
    data["x_unlabelled"] = np.stack([tokenizer.encode(text) for text in rest.texts])
    others = json.dumps([str(model) for model in models[:-1]])
    passes = round(_STEPS / math.ceil(len(texts) / _DISTILL_BATCH))
    text = _DISTILL.format(teachers=others, epochs=passes, batch=_DISTILL_BATCH)
    recipe = parse_recipe(text, "distilled")
    bundle = convert(models[-1], data=data, recipe=recipe, output=models[-1].with_suffix(".ewb")).path
    flatbuffer = Bundle.open(bundle).read("model.tflite")
    with engine_for(flatbuffer) as engine:
        names = tuple(spec.name for spec in engine.inputs)
        found = np.concatenate([outputs[0] for outputs in answers(engine, names, (data["x_test"],))])
    return np.asarray(found.argmax(-1) == data["y_test"])


def _bare(folder: Path, name: str, rest: Corpus) -> Path:
    """A table of texts without labels: LibreOffice's help for the name "manual", else those given."""
    table = folder / f"{name}.bare.csv"
    if not table.is_file():
        text = thin(corpora.load("basque"), _PARAGRAPHS) if name == "manual" else Corpus(rest.texts)
        write_csv(text, table)
    return table
