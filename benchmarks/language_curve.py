"""What helps with 50, 200 and 1,000 sentences: augmentation, pre-training on bare text, distillation. Basque intents.

All ways train a text-cnn of the same width, on the same sentences, and are asked the same test sentences (whole
templates that nothing was trained on). With so few sentences it is chance which are drawn, so there are several draws;
the differences are paired, over draws and sentences, and their interval is a bootstrap over both.

plain        the model alone
augmented    words swapped, deleted, inserted, typos
pre-trained  a backbone has learned to fill in hidden words of 6,000 paragraphs of LibreOffice's Basque help
distilled    an augmented text-cnn of four times the width learns from the few sentences, then answers 4,000 others,
             whose labels nobody looks at; the small model learns those answers
linear       TF-IDF with a linear support vector machine, for comparison
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import baselines
import corpora
import numpy as np
from tasks import thin

from edgewright_converter.language.data import Corpus, Splits, split, write_csv
from edgewright_converter.language.training import Settings
from edgewright_converter.language.training.run import _train  # in this process: dozens of trainings of a few seconds
from edgewright_converter.pipeline import convert
from edgewright_converter.recipe import parse_recipe

SIZES, DRAWS = (50, 200, 1000), 3
WAYS = ("plain", "linear", "augmented", "pre-trained", "distilled")
AUGMENT = "swap=0.1,delete=0.1,insert=0.05,typos=0.02"
_SETTINGS = Settings(model="text-cnn", width=24, vocabulary=2000, length=16, learning_rate=3e-3, batch=32)
_STEPS = 600  # of each training
_PARAGRAPHS = 6000
_DISTILL = """
[[passes]]
use = "distill"
student = "text-cnn"
width = 24
epochs = 8
batch = 64
learning_rate = 3e-3
"""

Right = np.ndarray[Any, np.dtype[np.bool_]]


def curve(folder: Path, sizes: tuple[int, ...] = SIZES, draws: int = DRAWS) -> None:
    """Print it; finished trainings are kept in the folder."""
    splits = split(corpora.load("intents:eu"), test=0.18, validation=0)
    test = thin(splits.test, 1500)
    right = {
        (size, way): np.stack([_right(folder, splits.train, test, size, draw, way) for draw in range(draws)])
        for way in WAYS
        for size in sizes
    }
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
        few, rest = pool.take(order[:size].tolist()), pool.take(order[size : size + 4000].tolist())
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
    settings = replace(_SETTINGS, epochs=round(_STEPS / max(1, len(few) // _SETTINGS.batch)))
    if way in ("augmented", "distilled"):
        settings = replace(settings, augment=AUGMENT, width=24 if way == "augmented" else 96)
    elif way == "pre-trained":
        settings = replace(settings, model=None, width=None, length=None, backbone=str(_backbone(folder)))
    trained = _train(splits, model, settings, False, lambda step, fraction: None)
    if way == "distilled":
        return _spread(known, _distilled(model, trained.files, rest, asked, few))
    import keras

    answers = keras.models.load_model(model, compile=False)
    return _spread(known, _answered(answers, trained.files["data"], asked))


def _answered(model: Any, data: Path, asked: Corpus) -> Right:
    with np.load(data) as archive:
        return np.asarray(model.predict(archive["x_test"], verbose=0).argmax(-1) == archive["y_test"])


def _spread(known: Right, right: Right) -> Right:
    result = np.zeros(len(known), bool)
    result[known] = right
    return result


def _distilled(model: Path, files: Any, rest: Corpus, asked: Corpus, few: Corpus) -> Right:
    from edgewright_converter.check import answers, engine_for
    from edgewright_runtime.bundle import Bundle
    from edgewright_runtime.text import Tokenizer

    tokenizer = Tokenizer.from_json(files["tokenizer"].read_bytes())
    with np.load(files["data"]) as archive:
        data = {key: archive[key] for key in archive.files}
    data["x_unlabelled"] = np.stack([tokenizer.encode(text) for text in rest.texts])
    recipe = parse_recipe(_DISTILL, "distilled")
    bundle = convert(model, data=data, recipe=recipe, output=model.with_suffix(".ewb")).path
    flatbuffer = Bundle.open(bundle).read("model.tflite")
    with engine_for(flatbuffer) as engine:
        names = tuple(spec.name for spec in engine.inputs)
        found = np.concatenate([outputs[0] for outputs in answers(engine, names, (data["x_test"],))])
    return np.asarray(found.argmax(-1) == data["y_test"])


def _backbone(folder: Path) -> Path:
    path = folder / "basque.keras"
    if not path.is_file():
        text = thin(corpora.load("basque"), _PARAGRAPHS)
        table = folder / "basque.csv"
        write_csv(text, table)
        settings = replace(_SETTINGS, pretrain="masked", epochs=3, batch=128)
        _train((str(table),), path, settings, False, lambda step, fraction: None)
    return path
