"""A device that was set up says what this machine says: seeded generation, and translations that are evaluated."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgewright import run as running
from edgewright.devices import Device
from edgewright.evaluate import FLATBUFFER, evaluate
from edgewright.provision import setup
from edgewright.remote import Remote, connected
from edgewright_converter.language.metrics import Translation
from edgewright_converter.language.tokenization import train_tokenizer
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.generation.generate import Limits, generate
from edgewright_runtime.generation.sampling import Sampling
from edgewright_runtime.model import load_model

pytestmark = pytest.mark.slow

COLOURS, THINGS = ("red", "old", "new"), ("house", "lamp", "door", "roof", "bench")
TEXTS = [f"the {colour} {thing} is here" for colour in COLOURS for thing in THINGS]
TARGETS = [f"aquí está {thing[::-1]} {colour[::-1]}" for colour in COLOURS for thing in THINGS]


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """With an environment and an engine of its own."""
    with connected(Device("kitchen", f"local:{tmp_path_factory.mktemp('kitchen')}")) as remote:
        setup(remote)
        yield remote


def _untrained(name: str, recipe: str, folder: Path) -> Path:
    import keras

    from edgewright_converter.language.zoo import build
    from edgewright_converter.pipeline import convert

    words = train_tokenizer((*TEXTS, *TARGETS), kind="bpe", size=300, max_length=24, special=("begin", "end"))
    keras.utils.set_random_seed(1)
    model: Any = build(name, vocabulary=words.size, length=24, heads={}, width=16, depth=1)
    task = "translate" if name == "translator" else "generate"
    return convert(model, recipe=recipe, task=task, tokenizer=words, output=folder / f"{name}.ewb").path


@pytest.mark.parametrize(("name", "recipe"), [("gpt", "float32"), ("lstm-lm", "int8-fast")])
def test_the_same_seed_says_the_same_tokens_here_and_there(
    name: str, recipe: str, kitchen: Remote, tmp_path: Path
) -> None:
    path = _untrained(name, recipe, tmp_path)
    bundle = Bundle.open(path)
    with load_model(bundle) as engine:
        samplings = [Sampling(temperature=1.0, seed=seed) for seed in (1, 2)]
        here = [generate(bundle, engine, "the red", sampling, Limits(16)) for sampling in samplings]
    there = [running.run(path, kitchen, text="the red", max_tokens=16, temperature=1.0, seed=seed) for seed in (1, 2)]
    assert [answer["tokens"] for answer in there] == [answer["tokens"] for answer in here]
    assert there[0]["tokens"] != there[1]["tokens"]
    assert len(there[0]["tokens"]) > 8


def test_a_translator_is_evaluated_here_and_there(kitchen: Remote, tmp_path: Path) -> None:
    path = _untrained("translator", "dynamic-int8", tmp_path)
    table = tmp_path / "pairs.csv"
    rows = [f"{text},{target}" for text, target in zip(TEXTS, TARGETS, strict=True)]
    table.write_text("\n".join(["text,es", *rows]) + "\n", "utf-8")
    found = evaluate(path, data=table, target="es", devices=[kitchen], resamples=100)
    (agreement,) = found.agreements
    assert (agreement.samples, agreement.unequal_answers) == (len(TEXTS), 0)
    scores = found.scores["kitchen"]
    assert isinstance(scores, Translation)
    assert scores == found.scores[FLATBUFFER]
    assert scores.sentences == len(TEXTS)
    assert 0 <= scores.bleu.value < 5  # untrained
