"""One token at a time answers as the whole text at once does; what cannot is refused with a sentence."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright_converter.errors import ModelError
from edgewright_converter.pipeline import convert
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.check import check_golden
from edgewright_runtime.errors import InputError
from edgewright_runtime.generation.generate import Limits, generate
from edgewright_runtime.generation.sampling import Sampling
from edgewright_runtime.generation.stepper import Stepper as RuntimeStepper
from edgewright_runtime.generation.translate import Search, translate
from edgewright_runtime.model import load_encoder, load_model
from edgewright_runtime.text import Tokenizer
from edgewright_runtime.text.characters import Characters

pytestmark = pytest.mark.slow

SIZE, LENGTH = 30, 12
SPECIAL = {"pad": 0, "unknown": 1, "begin": 2, "end": 3}


def _gpt(keras: Any) -> Any:
    from edgewright_converter.language.zoo.causal import gpt

    return gpt(vocabulary=SIZE, length=LENGTH, width=32)


def _lstm(keras: Any) -> Any:
    from edgewright_converter.language.zoo.causal import lstm_lm

    return lstm_lm(vocabulary=SIZE, length=LENGTH, width=16, depth=2)


def _translator(keras: Any) -> Any:
    from edgewright_converter.language.zoo.translator import translator

    return translator(vocabulary=SIZE, length=9, target_length=LENGTH, width=32)


def _own(keras: Any) -> Any:
    """What users build: grouped attention, convolutions with gaps, a GRU, probabilities at the end."""
    layers = keras.layers
    tokens = keras.Input((LENGTH,), dtype="int32")
    x = layers.Embedding(SIZE, 16)(tokens)
    x = layers.Conv1D(16, 3, dilation_rate=2, padding="causal", activation="relu")(x)
    x = layers.GRU(16, return_sequences=True)(x)
    x = x + layers.GroupQueryAttention(4, 4, 2)(x, x, use_causal_mask=True)
    x = layers.SimpleRNN(16, return_sequences=True)(layers.TimeDistributed(layers.Dense(16))(x))
    return keras.Model(tokens, layers.Dense(SIZE, activation="softmax")(x), name="own")


def _last(keras: Any) -> Any:
    """A predictor of the next token alone."""
    layers = keras.layers
    tokens = keras.Input((LENGTH,), dtype="int32")
    return keras.Model(tokens, layers.Dense(SIZE)(layers.LSTM(16)(layers.Embedding(SIZE, 16)(tokens))))


@pytest.fixture(scope="module")
def build() -> Iterator[Callable[[Callable[[Any], Any]], Any]]:
    import keras

    def built(make: Callable[[Any], Any]) -> Any:
        """With weights that say something: fresh ones answer nearly alike to everything."""
        model = make(keras)
        rng = np.random.default_rng(0)
        for weight in model.weights:
            weight.assign(rng.normal(1 if "gamma" in weight.path else 0, 0.3, weight.shape))
        return model

    yield built
    keras.utils.clear_session()


@pytest.mark.parametrize("make", [_gpt, _lstm, _translator, _own])
@pytest.mark.parametrize("integers", [False, True])
def test_steps_answer_as_the_whole_does(build: Any, make: Any, integers: bool) -> None:
    import tensorflow as tf

    from edgewright_converter.stepping.step import Stepper

    model = build(make)
    rng = np.random.default_rng(1)
    target = rng.integers(1, SIZE, (3, LENGTH)).astype(np.int32)
    stepper = Stepper(model, integers)
    memory: dict[str, Any] = {}
    if make is _translator:
        source = rng.integers(1, SIZE, (3, 9)).astype(np.int32)
        source[:, 6:] = 0
        whole, memory = model([source, target]).numpy(), stepper.read(tf.constant(source))
    else:
        whole = model(target).numpy()
    states = {name: np.zeros((3, *shape), np.float32) for name, shape in stepper.states.items()}
    for time in range(LENGTH):
        answer = stepper.step(tf.constant(target[:, time : time + 1]), tf.fill((3, 1), time), states, memory)
        np.testing.assert_allclose(
            answer.pop("logits").numpy(),
            whole[:, time],
            # Integers weigh what is masked e^-12 below the least, not nothing.
            atol=(1e-2 if integers else 1e-5) * max(1, np.abs(whole).max()),
        )
        for name, new in answer.items():
            if new.shape == states[name].shape:
                states[name] = new.numpy()
            else:
                states[name][:, :, time : time + 1] = new.numpy()
    assert bool(stepper.context) == (make is not _lstm)


def _tokenizer(length: int) -> Tokenizer:
    letters = [chr(ord("a") + index) for index in range(SIZE - len(SPECIAL))]
    return Tokenizer(Characters(("[PAD]", "[UNK]", "[BEGIN]", "[END]", *letters), SPECIAL), length, end=False)


def _texts(model: Any) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    names = [tensor.name for tensor in model.inputs]
    arrays = {tensor.name: rng.integers(4, SIZE, (24, tensor.shape[1])).astype(np.int32) for tensor in model.inputs}
    return {"x_train": arrays if len(names) > 1 else arrays[names[0]]}


def _greedy(model: Any, given: list[int], count: int, source: Any = None) -> list[int]:
    """What Keras would say, computing the whole text again for each token."""
    ids = list(given)
    while len(ids) < len(given) + count:
        row = np.zeros((1, LENGTH), np.int32)
        row[0, : len(ids)] = ids
        scores = model(row if source is None else [source, row], training=False).numpy()[0, len(ids) - 1]
        scores[[0, 1, 2]] = -np.inf
        if scores.argmax() == SPECIAL["end"]:
            break
        ids.append(int(scores.argmax()))
    return ids[len(given) :]


@pytest.mark.parametrize(("make", "recipe"), [(_gpt, "float32"), (_gpt, "int8"), (_lstm, "int8-fast")])
def test_a_bundle_says_what_keras_would(build: Any, make: Any, recipe: str, tmp_path: Path) -> None:
    model = build(make)
    path = tmp_path / "speaker.ewb"
    convert(model, data=_texts(model), recipe=recipe, task="generate", tokenizer=_tokenizer(LENGTH), output=path)
    bundle = Bundle.open(path)
    with load_model(bundle) as engine:
        check_golden(engine, bundle)
        answer = generate(bundle, engine, "abc", Sampling(), Limits(8))
        stepper = RuntimeStepper(bundle, engine)
        stepper.read([2, 5, 9, 4])
        found = stepper.log_probabilities()
    row = np.zeros((1, LENGTH), np.int32)
    row[0, :4] = [2, 5, 9, 4]
    logits = model(row).numpy()[0, 3].astype(np.float64)
    wanted = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    if recipe == "float32":
        assert answer["tokens"] == _greedy(model, [2, *_tokenizer(LENGTH).ids("abc")], 8)
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(logits).max())
    else:
        assert np.corrcoef(found, wanted)[0, 1] > 0.98
        assert wanted.max() - wanted[found.argmax()] < 0.5  # another token than Keras' only where two are near


def test_a_translator_says_what_keras_would(build: Any, tmp_path: Path) -> None:
    model = build(_translator)
    path, words = tmp_path / "translator.ewb", _tokenizer(9)
    convert(model, data=_texts(model), task="translate", tokenizer=words, output=path)
    bundle = Bundle.open(path)
    source = words.encode("abcd")[np.newaxis]
    wanted = _greedy(model, [SPECIAL["begin"]], 8, source)
    with load_model(bundle) as engine, load_encoder(bundle) as encoder:
        check_golden(engine, bundle)
        told: list[int] = []
        answer = translate(bundle, engine, encoder, "abcd", Search(1, 8), lambda token, _: told.append(token))
        several = translate(bundle, engine, encoder, "abcd", Search(4, 8, length_penalty=0))
    assert answer["tokens"] == wanted == told
    # Followed side by side, an answer is found that is at least as probable.
    assert several["log_probability"] >= answer["log_probability"] - 1e-5


def test_a_next_token_predictor_steps_too(build: Any, tmp_path: Path) -> None:
    model = build(_last)
    convert(model, data=_texts(model), task="generate", output=tmp_path / "last.ewb")


def _refused(build: Any, make: Callable[[Any], Any], reason: str) -> None:
    from edgewright_converter.stepping.step import Stepper

    with pytest.raises(ModelError, match=reason):
        Stepper(build(make))


def test_what_looks_ahead_is_refused(build: Any) -> None:
    def model_of(middle: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
        def make(keras: Any) -> Any:
            tokens = keras.Input((LENGTH,), dtype="int32")
            x = middle(keras.layers, keras.layers.Embedding(SIZE, 16)(tokens))
            return keras.Model(tokens, keras.layers.Dense(SIZE)(x))

        return make

    _refused(build, model_of(lambda layers, x: layers.MultiHeadAttention(2, 8)(x, x)), "is no causal attention")
    _refused(build, model_of(lambda layers, x: layers.Conv1D(8, 3, padding="same")(x)), "looks at later tokens")
    _refused(
        build, model_of(lambda layers, x: layers.Bidirectional(layers.GRU(8, return_sequences=True))(x)), "no form for"
    )
    _refused(build, model_of(lambda layers, x: layers.GlobalAveragePooling1D()(x)), "no form for single tokens")


def test_a_model_of_another_task_is_refused(build: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has 1 inputs, a model to translate has two inputs"):
        convert(build(_gpt), task="translate", output=tmp_path / "a.ewb")
    with pytest.raises(InputError, match="labels"):
        convert(build(_gpt), task="generate", labels=["a", "b"], output=tmp_path / "a.ewb")
    with pytest.raises(ModelError, match="says how its layers are connected"):
        convert(_subclassed(), task="generate", output=tmp_path / "a.ewb")
    assert not list(tmp_path.iterdir())


def _subclassed() -> Any:
    import keras

    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.table = keras.layers.Embedding(SIZE, SIZE)

        def call(self, tokens: Any) -> Any:
            return self.table(tokens)

    model = Own()
    model(np.zeros((1, LENGTH), np.int32))
    return model
