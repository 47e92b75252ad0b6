"""Training from data: what it learns and leaves, that it goes on after a kill, that it refuses in sentences."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright_converter.beside import beside
from edgewright_converter.errors import ConversionError
from edgewright_converter.language.data import Corpus, Splits, split
from edgewright_converter.language.tokenization import train_tokenizer
from edgewright_converter.language.training import Settings
from edgewright_converter.language.training.pretrain import HIDDEN, hide, loss
from edgewright_converter.language.training.run import _train
from edgewright_runtime.errors import InputError

ROOMS = ("kitchen", "garden", "cellar", "attic", "hall", "garage", "porch", "study")
VERBS = {"on": ("switch on", "start", "light up"), "off": ("switch off", "stop", "put out"), "ask": ("is", "tell")}
SMALL: dict[str, Any] = {"width": 8, "epochs": 6, "learning_rate": 0.02, "test": 0.2, "validation": 0.1}


def corpus() -> Corpus:
    rows = [
        (f"{verb} the {room} {thing} number {number}", label, room)
        for label, verbs in VERBS.items()
        for verb in verbs
        for room in ROOMS
        for thing in ("lamp", "fan")
        for number in ("one", "two")
    ]
    texts, labels, rooms = zip(*rows, strict=True)
    return Corpus(texts, {"label": labels, "room": rooms}, source="rooms.csv")


def one_head() -> Splits:
    whole = corpus()
    return split(replace(whole, labels={"label": whole.labels["label"]}), test=0.2, validation=0.1)


def run(sources: Any, output: Path, resume: bool = False, **settings: Any) -> Any:
    return _train(sources, output, Settings(**{**SMALL, **settings}), resume, lambda step, share: None)


@pytest.mark.slow
def test_it_learns_and_leaves_what_convert_wants(tmp_path: Path) -> None:
    import keras

    trained = run(one_head(), tmp_path / "rooms.keras", model="text-cnn", class_weights=True)
    figures = trained.metrics["test"]["label"]
    assert figures["accuracy"]["value"] > 0.9
    assert figures["accuracy"]["low"] < figures["accuracy"]["value"] <= figures["accuracy"]["high"]
    found = beside(trained.model)
    assert None not in (found.tokenizer, found.labels, found.data)
    assert json.loads(found.labels.read_bytes()) == ["ask", "off", "on"]  # type: ignore[union-attr]
    model = keras.models.load_model(trained.model)
    with np.load(found.data) as data:  # type: ignore[arg-type]
        answers = model.predict(data["x_test"], verbose=0).argmax(-1)
        assert (answers == data["y_test"]).mean() == pytest.approx(figures["accuracy"]["value"])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)
    record = json.loads((tmp_path / "rooms.train.json").read_bytes())
    assert record["architecture"]["model"] == "text-cnn"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "rooms.data.npz", "rooms.keras", "rooms.labels.json", "rooms.test.csv", "rooms.tokenizer.json",
        "rooms.train.json", "rooms.validation.csv",
    ]  # fmt: skip


@pytest.mark.slow
def test_several_heads_learn_together_in_half_precision(tmp_path: Path) -> None:
    whole = corpus()
    labels = {"label": whole.labels["label"], "the room": whole.labels["room"]}
    splits = split(replace(whole, labels=labels), test=0.2, validation=0.1)
    trained = run(
        splits, tmp_path / "both.keras", model="bag-of-embeddings", width=32, epochs=40, precision="mixed_bfloat16",
        strategy="mirrored", class_weights=True,
    )  # fmt: skip
    assert set(trained.metrics["test"]) == {"label", "the room"}
    assert min(head["accuracy"]["value"] for head in trained.metrics["test"].values()) > 0.8
    assert beside(trained.model).labels is None  # a bundle's labels are of one output
    assert set(json.loads((tmp_path / "both.labels.json").read_bytes())) == {"label", "the room"}
    with np.load(tmp_path / "both.data.npz") as data:
        assert set(data.files) == {"x_train", "y_train.label", "y_train.the_room", "x_test"}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_an_interrupted_training_too(tmp_path: Path) -> None:
    import keras

    from edgewright_converter.language.training import trainer

    def weights(path: Path) -> list[Any]:
        return list(keras.models.load_model(path).get_weights())

    settings = {"model": "gru", "epochs": 3, "pretrain": "masked", "pretrain_epochs": 2, "patience": 5}
    run(one_head(), tmp_path / "whole.keras", **settings)

    class EndError(Exception):
        pass

    def interrupt(step: str, share: float) -> None:
        if step == "train" and share > 0.75:  # in the second epoch
            raise EndError

    with pytest.raises(EndError):
        _train(one_head(), tmp_path / "killed.keras", Settings(**{**SMALL, **settings}), False, interrupt)
    assert [path.name for path in tmp_path.glob("killed*")] == ["killed.training"]
    with pytest.raises(InputError, match="had other data or settings"):
        run(one_head(), tmp_path / "killed.keras", resume=True, **{**settings, "seed": 1})
    began = []
    original = trainer.fit
    trainer.fit = lambda *a, **k: (began.append(k["state"].is_file()), original(*a, **k))  # type: ignore[attr-defined]
    try:
        resumed = run(one_head(), tmp_path / "killed.keras", resume=True, **settings)
    finally:
        trainer.fit = original  # type: ignore[attr-defined]
    assert resumed.resumed
    assert began == [True, True]
    for one, other in zip(weights(tmp_path / "whole.keras"), weights(tmp_path / "killed.keras"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not (tmp_path / "killed.training").exists()


@pytest.mark.slow
def test_a_backbone_passes_on_tokenizer_architecture_and_weights(tmp_path: Path) -> None:
    import keras

    bare = replace(corpus(), labels={})
    first = run(split(bare, test=0), tmp_path / "body.keras", model="transformer", width=16, depth=1, pretrain="masked")
    assert first.metrics["validation"]["perplexity"]["value"] < 20  # of 34 tokens
    few, body = one_head(), str(tmp_path / "body.keras")
    second = run(few, tmp_path / "few.keras", width=None, backbone=body, freeze=-1)
    assert set(second.transferred) == set(second.frozen) >= {"token_embedding", "attention_0", "contract_0"}
    old, new = (keras.models.load_model(tmp_path / f"{name}.keras") for name in ("body", "few"))
    for layer in second.frozen:
        for one, other in zip(old.get_layer(layer).get_weights(), new.get_layer(layer).get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    assert all(layer.trainable for layer in new.layers)
    assert (tmp_path / "few.tokenizer.json").read_bytes() == (tmp_path / "body.tokenizer.json").read_bytes()

    (tmp_path / "body.train.json").unlink()  # then it is a model like any other: its body gets a new head
    third = run(few, tmp_path / "cut.keras", width=None, backbone=body, epochs=1, validation=0.0)
    assert third.architecture.startswith("the body of")
    with pytest.raises(InputError, match="No layer of the backbone"):
        run(few, tmp_path / "no.keras", model="lstm", backbone=body)


@pytest.mark.slow
def test_bare_texts_tell_which_words_belong_together(tmp_path: Path) -> None:
    """Four topics of twenty words each: a labelled text shows three words of its topic, bare texts show all of them."""
    rng = np.random.default_rng(0)
    topics = {f"topic{t}": [f"w{t}{chr(97 + w)}" for w in range(20)] for t in range(4)}

    def texts(each: int) -> Corpus:
        rows = [(" ".join(rng.choice(words, 3)), topic) for topic, words in topics.items() for _ in range(each)]
        return Corpus(tuple(text for text, _ in rows), {"label": tuple(topic for _, topic in rows)}, source="topics")

    few, bare, test = texts(1), texts(100), texts(100)
    (tmp_path / "bare.txt").write_text("\n".join(bare.texts))
    own: dict[str, Any] = {"width": 16, "epochs": 200, "pretrain": "masked", "corpus": (str(tmp_path / "bare.txt"),)}
    right = []
    for epochs in (0, 40):
        trained = run(Splits(few, few.take([]), test), tmp_path / f"{epochs}.keras", pretrain_epochs=epochs, **own)
        right.append(trained.metrics["test"]["label"]["accuracy"]["value"])
    assert right[1] > right[0] + 0.2
    assert trained.pretrained == ("token_embedding", "convolution_0")


@pytest.mark.slow
def test_rates_fall_towards_the_input(tmp_path: Path) -> None:
    import keras

    from edgewright_converter.language.training.optimizer import adam_w
    from edgewright_converter.language.training.transfer import rate_scales
    from edgewright_converter.language.zoo import build

    keras.utils.set_random_seed(0)
    model = build("bag-of-embeddings", vocabulary=9, length=4, heads={"label": 2}, width=4, depth=2, dropout=0.0)
    scales = rate_scales(model, ["label"], 0.5)
    assert sorted(set(scales.values())) == [0.125, 0.25, 0.5]
    model.compile(adam_w(0.01, 0.0, scales), "sparse_categorical_crossentropy")
    before = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    model.fit(np.arange(1, 9).reshape(2, 4), np.array([0, 1]), epochs=1, verbose=0)
    # Adam's first step is the rate itself, for every number that has a gradient.
    moved = {name: np.abs(model.get_layer(name).get_weights()[0] - old[0]).max() for name, old in before.items()}
    wanted = {"token_embedding": 0.00125, "dense_0": 0.0025, "dense_1": 0.005, "label": 0.01}
    assert moved == pytest.approx(wanted, rel=0.02)


@pytest.mark.slow
def test_language_models_learn(tmp_path: Path) -> None:
    bare = replace(corpus(), labels={})
    sizes = {"model": "gpt", "width": 16, "depth": 1, "length": 16, "vocabulary": 300}
    untrained = run(split(bare), tmp_path / "none.keras", **{**sizes, "epochs": 0})
    trained = run(split(bare), tmp_path / "lm.keras", **{**sizes, "epochs": 25})
    before, after = (one.metrics["test"]["bits_per_byte"]["value"] for one in (untrained, trained))
    assert after < 0.5 * before
    assert json.loads((tmp_path / "lm.task.json").read_bytes()) == {"kind": "generate", "options": {}}


@pytest.mark.slow
def test_smoothing_and_dropout_of_tokens_are_heeded() -> None:
    import keras

    from edgewright_converter.language.training import modelling
    from edgewright_converter.language.training.noise import token_loss

    rng = np.random.default_rng(0)
    truth, logits = rng.integers(0, 7, (2, 5)), rng.normal(size=(2, 5, 7)).astype(np.float32)
    stock = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    assert float(token_loss(0.2)(truth, logits)) == pytest.approx(float(stock(np.eye(7)[truth], logits)), rel=1e-5)

    bare = split(replace(corpus(), labels={}))
    words = train_tokenizer(bare.train.texts, kind="words", size=100, max_length=8, special=("begin", "end"))
    course = modelling.course(bare, words, Settings(model="gpt", token_dropout=0.3, label_smoothing=0.2))
    count, pick = course.lesson(0)
    x, y, _ = pick(np.arange(count))
    again, later = (course.lesson(epoch)[1](np.arange(count - 1))[0] for epoch in (0, 1))
    assert (x == words.unknown_id).mean() == pytest.approx(0.3, abs=0.05)
    assert (y != words.unknown_id).all()
    np.testing.assert_array_equal(x[:-1], again)
    assert (again == words.unknown_id).tobytes() != (later == words.unknown_id).tobytes()
    assert type(course.loss()) is not type(course.saved_loss())  # what is saved is known to every Keras


@pytest.mark.slow
def test_translators_learn(tmp_path: Path) -> None:
    bare = replace(corpus(), labels={})
    codes = {word: f"x{word[::-1]}" for text in bare.texts for word in text.split()}
    targets = tuple(" ".join(codes[word] for word in text.split()) for text in bare.texts)
    pairs = split(replace(bare, targets=targets))
    spoken = run(
        pairs, tmp_path / "code.keras", model="translator", width=32, depth=1, epochs=150, tokenizer="words",
        learning_rate=0.003, batch=32,
    )  # fmt: skip
    assert spoken.metrics["test"]["bleu"]["value"] > 50
    assert set(np.load(tmp_path / "code.data.npz").files) == {"x_train.source", "x_train.target", "y_train"}


@pytest.mark.slow
def test_a_killed_command_leaves_nothing_half_written_and_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "rooms.csv"
    rows = zip(corpus().texts, corpus().labels["label"], strict=True)
    data.write_text("text,label\n" + "\n".join(f"{text},{label}" for text, label in rows), "utf-8")
    command = [sys.executable, "-m", "edgewright", "train", str(data), "--model", "text-cnn", "--width", "8"]
    command += ["--epochs", "400", "-o", str(tmp_path / "rooms.keras")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    end = time.monotonic() + 120
    while not (tmp_path / "rooms.training" / "training-1.npz").is_file() and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert {path.name for path in tmp_path.iterdir()} == {"rooms.csv", "rooms.training"}
    done = subprocess.run([*command, "--resume", "--json"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["resumed"] is True
    assert document["metrics"]["test"]["label"]["accuracy"]["value"] > 0.9


@pytest.mark.parametrize("share", HIDDEN.values())
def test_hidden_tokens_are_a_share_of_the_real_ones(share: float) -> None:
    tokenizer = train_tokenizer(corpus().texts, kind="words", size=100, max_length=8, special=("mask",))
    x = np.stack([tokenizer.encode(text) for text in corpus().texts] * 20)
    changed, hidden = hide(x, tokenizer, np.random.default_rng(0), share)
    real = x != tokenizer.pad_id
    assert not (hidden & ~real).any()
    assert hidden.any(1).all()
    assert share - 0.01 < hidden.sum() / real.sum() < share + 0.08  # each row hides one at least
    assert (changed[~hidden] == x[~hidden]).all()
    shares = [(changed[hidden] == tokenizer.mask_id).mean(), (changed[hidden] == x[hidden]).mean()]
    assert shares == pytest.approx([0.8, 0.1], abs=0.03)


@pytest.mark.slow
def test_the_answer_for_a_text_is_one_for_each_hidden_token() -> None:
    rng = np.random.default_rng(0)
    truth, hidden = rng.integers(0, 7, (3, 5)), (rng.random((3, 5)) < 0.5).astype(np.float32)
    logits = rng.normal(size=(3, 7)).astype(np.float32)
    each = np.repeat(logits[:, None], 5, 1)
    of_the_text, of_tokens = loss("text-cnn", "masked"), loss("transformer", "masked")
    assert float(of_the_text(truth, logits, hidden)) == pytest.approx(float(of_tokens(truth, each, hidden)), rel=1e-5)


def test_what_cannot_be_is_refused_in_a_sentence(tmp_path: Path) -> None:
    for wrong, words in (
        ({"pretrain": "often"}, "expected masked or causal"),
        ({"freeze": 2}, "none is given: give --backbone"),
        ({"corpus": ("a.txt",)}, "say how, with --pretrain"),
        ({"batch": 0}, "Batch must be 1 or more"),
        ({"strategy": "all"}, "Strategy must be"),
        ({"rate_decay": 1.5}, "at most 1"),
        ({"token_dropout": 1.0}, "below 1"),
        ({"token_deletion": 1.0}, "below 1"),
        ({"tokenizer_options": {"whole": True}}, "name it, with --tokenizer"),
    ):
        with pytest.raises(InputError, match=words):
            Settings(**wrong)
    output = tmp_path / "m.keras"
    bare = split(replace(corpus(), labels={}))
    with pytest.raises(InputError, match=r"has no labels.*--label"):
        run(bare, output)
    with pytest.raises(InputError, match="has no translations"):
        run(bare, output, model="translator")
    same = replace(corpus(), labels={"label": ("on",) * len(corpus())})
    with pytest.raises(InputError, match="two classes at least"):
        run(split(same), output)
    with pytest.raises(InputError, match=r"does not exist: expected a \.keras file"):
        run(one_head(), output, backbone=str(tmp_path / "none.keras"))
    for name, value in {"augment": "swap=0.1", "class_weights": True, "pretrain": "causal", "pooling": "mean"}.items():
        with pytest.raises(InputError, match=rf"--{name.replace('_', '-')} is for models that tell classes apart"):
            run(bare, output, model="gpt", tokenizer="words", length=8, **{name: value})
    with pytest.raises(InputError, match=r"--token-dropout makes tokens unknown, and this tokenizer knows every text"):
        run(bare, output, model="gpt", tokenizer="bpe", vocabulary=300, length=8, token_dropout=0.1)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "body.keras").write_bytes(b"")
    with pytest.raises(InputError, match=r"The tokenizer .*none\.json cannot be read"):
        run(one_head(), output, backbone=str(tmp_path / "body.keras"), tokenizer=str(tmp_path / "none.json"))


def test_a_model_beside_nothing_has_no_companions(tmp_path: Path) -> None:
    (tmp_path / "a.keras").write_bytes(b"")
    (tmp_path / "a.labels.json").write_text('{"two": ["heads"]}')
    (tmp_path / "a.data.npz").write_bytes(b"")
    found = beside(tmp_path / "a.keras")
    assert (found.tokenizer, found.labels, found.data) == (None, None, tmp_path / "a.data.npz")
    assert beside(tmp_path / "b.keras").data is None


@pytest.mark.slow
def test_a_loss_that_becomes_nan_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="diverged"):
        run(one_head(), tmp_path / "m.keras", model="text-cnn", learning_rate=99.0, epochs=40, weight_decay=50.0)
    assert not (tmp_path / "m.keras").exists()
