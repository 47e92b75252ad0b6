"""Distillation: the maths of soft labels and changed sentences, derived models, and the whole pass."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright_converter.data import from_mapping
from edgewright_converter.errors import ModelError
from edgewright_converter.job import Prepared, Request, Steps
from edgewright_converter.outcome import Outcome
from edgewright_converter.passes.augment import augment
from edgewright_converter.passes.derive import Block, dropped_blocks, narrow, repeated
from edgewright_converter.passes.distill import STUDENTS, Distill
from edgewright_converter.passes.quantize import Quantize
from edgewright_converter.passes.soft_labels import as_logits, soften, table
from edgewright_converter.recipe import Recipe
from edgewright_converter.targets import get_target

WORDS, LENGTH, CLASSES = 60, 8, 4


@given(st.integers(0, 2**31), st.floats(0.5, 8))
@settings(max_examples=30)
def test_soft_labels_of_logits_and_of_their_probabilities_are_the_same(seed: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 2, (5, 3, 7)).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    soft = soften(as_logits(logits), temperature)
    assert np.allclose(soft, soften(as_logits(p), temperature), atol=1e-4)
    assert np.allclose(soft.sum(-1), 1, atol=1e-5)
    assert (soft.argmax(-1) == logits.argmax(-1)).all()


def test_one_probability_is_two_classes() -> None:
    one = np.array([[0.9], [0.2]], np.float32)
    assert np.allclose(soften(as_logits(one), 1.0), [[0.1, 0.9], [0.8, 0.2]], atol=1e-6)
    logit = np.log(one / (1 - one)) - 3
    assert np.allclose(soften(as_logits(logit), 1.0)[:, 1:], 1 / (1 + np.exp(-logit)), atol=1e-6)


def test_a_table_keeps_the_largest_and_says_where_no_label_is() -> None:
    soft = soften(np.random.default_rng(0).normal(0, 3, (6, 2, 9)), 1.0)
    kept = table(soft, None, 3)
    assert kept.shape == (6, 2, 7)
    assert (kept[..., 0] == -1).all()
    ids = kept[..., 1:4].astype(int)
    assert np.allclose(np.take_along_axis(soft, ids, -1), kept[..., 4:])
    assert np.allclose(np.sort(kept[..., 4:], -1), np.sort(soft, -1)[..., -3:])
    full = table(soft, np.arange(12).reshape(6, 2) % 9, 9)
    assert (full[..., 0] == np.arange(12).reshape(6, 2) % 9).all()
    assert np.allclose(full[..., 1:], soft)


@given(st.integers(0, 2**31), st.booleans(), *[st.floats(0, 1)] * 3)
@settings(max_examples=60)
def test_changed_sentences_keep_their_shape_and_never_end_empty(
    seed: int, padded_head: bool, dropout: float, deletion: float, swap: float
) -> None:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(2, 50, (20, LENGTH)).astype(np.int32)
    tokens[np.arange(LENGTH) >= rng.integers(1, LENGTH + 1, (20, 1))] = 0
    if padded_head:
        tokens = tokens[:, ::-1]
    changed = augment(tokens, rng, unknown=1, dropout=dropout, deletion=deletion, swap=swap)
    assert changed.shape == tokens.shape
    assert changed.dtype == tokens.dtype
    assert (changed != 0).any(1).all()
    for before, after in zip(tokens, changed, strict=True):
        assert set(after) <= set(before) | {0, 1}
        real = np.flatnonzero(after)
        assert (np.diff(real) == 1).all()  # no hole
        assert real[-1] == LENGTH - 1 if padded_head and before[0] == 0 else real[0] == 0 or padded_head


def test_nothing_changes_without_a_share() -> None:
    tokens = np.arange(40, dtype=np.int32).reshape(5, 8)
    assert (augment(tokens, np.random.default_rng(0), unknown=1, dropout=0, deletion=0, swap=0) == tokens).all()


def test_sizes_are_narrowed_also_inside_of_wrappers() -> None:
    config = {"name": "a", "layer": {"config": {"units": 64, "rate": 0.5}}, "filters": 3, "use_bias": True}
    assert narrow(config, 0.25) == {**config, "layer": {"config": {"units": 16, "rate": 0.5}}, "filters": 1}


def test_repeated_blocks_are_found_and_evenly_dropped() -> None:
    chain = [Block((i,), i, i + 1, (kind,)) for i, kind in enumerate("eABABABc")]
    (run,) = repeated(chain)
    assert [block.nodes for block in run] == [(1, 2), (3, 4), (5, 6)]
    assert [block.nodes for block in dropped_blocks([run], 0.5)] == [(5, 6)]
    assert [block.nodes for block in dropped_blocks([run], 0.01)] == [(3, 4), (5, 6)]
    assert dropped_blocks([run], 1.0) == []
    assert repeated(chain[:3]) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({}, "student"),
        ({"student": "text-cn"}, "student must be one of"),
        ({"student": "gru", "width": 0.5}, "width of the student gru is a whole number"),
        ({"width": 2.0}, "width of a derived student"),
        ({"student": "a.keras", "depth": 1.0}, "depth goes with"),
        ({"width": 0.5, "temperature": 0.0}, "temperature"),
        ({"width": 0.5, "hard_weight": 1.5}, "hard_weight"),
        ({"width": 0.5, "copies": -1}, "copies"),
        ({"width": 0.5, "hidden": ("a",)}, "hidden must list pairs"),
    ],
)
def test_options_are_checked(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Distill(**wrong)


# From here on with Keras.


def sentences(count: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The class is told by one of four words somewhere among others."""
    rng = np.random.default_rng(seed)
    x = rng.integers(10, WORDS, (count, LENGTH)).astype(np.int32)
    y = rng.integers(0, CLASSES, count)
    x[np.arange(count), rng.integers(0, LENGTH, count)] = 2 + y
    return x, y


def data(seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    x, y = sentences(1200, seed)
    return {"x_train": x[:900], "y_train": y[:900], "x_test": x[900:], "y_test": y[900:]}


@pytest.fixture(scope="module")
def teacher() -> Any:
    """A Transformer that knows the task."""
    import keras

    from edgewright_converter.language.zoo import build

    keras.utils.set_random_seed(0)
    heads = {"intent": CLASSES}
    model = build("transformer", vocabulary=WORDS, length=LENGTH, heads=heads, width=32, dropout=0.2)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.optimizer.learning_rate = 3e-3
    model.fit(*sentences(2000, 5), epochs=4, verbose=0)
    return model


def prepared(model: Any, samples: dict[str, Any], *passes: Any, folder: Path | None = None) -> Prepared:
    from edgewright_converter.front import prepare

    recipe = Recipe("r", (*passes, Quantize("float32")))
    checkpoints = folder and str(folder)
    request = Request(
        None, from_mapping(samples), recipe, get_target("local"), 1, {}, None, None, False, 0, checkpoints=checkpoints
    )
    return prepare(model, request, Steps(lambda step, share: None, tuple(p.use for p in passes)))


def outcome_of(model: Any, samples: dict[str, Any], *passes: Any) -> Outcome:
    return prepared(model, samples, *passes).outcomes[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDENTS)
def test_every_student_learns_from_the_teacher_alone(name: str, teacher: Any) -> None:
    samples = data()
    del samples["y_train"]  # the teacher's answers must do
    before = prepared(teacher, samples, Distill(student=name, width=16, epochs=8, learning_rate=0.02, batch=32))
    (outcome,) = before.outcomes
    assert outcome.accuracy_before is not None
    assert outcome.accuracy_after is not None
    assert outcome.accuracy_before > 0.9
    assert outcome.accuracy_after > outcome.accuracy_before - 0.1
    assert outcome.parameters_after is not None
    assert outcome.parameters_before is not None
    assert outcome.parameters_after < outcome.parameters_before / 2
    assert (before.frozen.inputs[0].name, before.frozen.outputs) == ("tokens", ("intent",))


@pytest.mark.slow
def test_a_derived_student_is_narrower_and_shallower_and_keeps_what_fits(teacher: Any) -> None:
    from edgewright_converter.passes.derive import derive

    shallow, gone = derive(teacher, 1.0, 0.5)
    assert {name for name in gone if "attention" in name} == {"attention_1", "attention_norm_1"}
    kept = {layer.name: layer for layer in shallow.layers}
    for layer in teacher.layers:
        if layer.name in kept:
            pairs = zip(layer.get_weights(), kept[layer.name].get_weights(), strict=True)
            assert all((a == b).all() for a, b in pairs)
    narrow_one, gone = derive(teacher, 0.25, 1.0)
    assert gone == []
    assert narrow_one.get_layer("attention_0").key_dim == 4
    assert narrow_one.get_layer("expand_1").units == 16
    assert narrow_one.output_shape == teacher.output_shape
    outcome = outcome_of(teacher, data(), Distill(width=0.5, depth=0.5, epochs=8, copies=1))
    assert outcome.accuracy_after is not None
    assert outcome.accuracy_after > 0.9
    assert any("depth" in skipped.reason for skipped in outcome.skipped)


@pytest.mark.slow
def test_deriving_what_cannot_be_derived_is_refused_with_a_reason() -> None:
    import keras

    from edgewright_converter.passes.derive import derive

    x = keras.Input((4, 6))
    fixed = keras.Model(x, keras.layers.Dense(2)(keras.layers.Reshape((48,))(keras.layers.Dense(12)(x))))
    with pytest.raises(ModelError, match="a size is written into an operation"):
        derive(fixed, 0.5, 1.0)
    with pytest.raises(ModelError, match="no two blocks"):
        derive(fixed, 1.0, 0.5)


@pytest.mark.slow
def test_hidden_layers_and_attention_are_matched(teacher: Any) -> None:
    import keras

    from edgewright_converter.passes.matching import matched

    keras.utils.set_random_seed(1)
    from edgewright_converter.passes.derive import derive

    learner, _ = derive(teacher, 0.5, 0.5)
    weights = teacher.get_weights()
    x, _ = sentences(256, 3)
    model = matched(
        learner, teacher, [("feed_forward_norm_1", "feed_forward_norm_0")], [("attention_1", "attention_0")], 1, 1
    )
    model.compile("adam", lambda truth, answer: 0.0 * keras.ops.mean(answer))
    first, *_, last = model.fit(x, np.zeros(256), epochs=15, verbose=0).history["loss"]
    assert last < first / 2
    assert all((a == b).all() for a, b in zip(weights, teacher.get_weights(), strict=True))
    with pytest.raises(ModelError, match="has no layer 'nowhere'"):
        matched(learner, teacher, [("nowhere", "feed_forward_norm_0")], [], 1, 1)


@pytest.mark.slow
def test_an_ensemble_is_averaged_and_unlabelled_samples_are_answered(teacher: Any, tmp_path: Path) -> None:
    teacher.save(tmp_path / "again.keras")
    samples = data() | {"x_unlabelled": sentences(700, 9)[0]}
    again = (str(tmp_path / "again.keras"),)
    student = Distill(student="text-cnn", width=8, epochs=1, copies=1, teachers=again)
    bundle = prepared(teacher, samples, student, folder=tmp_path)
    (file,) = tmp_path.glob("distill-*/soft-labels.npy")
    labels = np.load(file)
    assert labels.shape == (2 * (900 + 700), 1 + CLASSES)
    assert (labels[900:1600, 0] == -1).all()
    expected = soften(as_logits(teacher.predict(samples["x_unlabelled"], verbose=0)), 2.0)
    assert np.allclose(labels[900:1600, 1:], expected, atol=1e-4)
    assert bundle.outcomes[0].use == "distill"


@pytest.mark.slow
def test_a_language_model_is_distilled_from_its_largest_answers() -> None:
    import keras

    from edgewright_converter.language.zoo import build

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    text = (rng.integers(0, 3, (1000, 1)) + np.arange(LENGTH + 1) * rng.integers(1, 4, (1000, 1))) % 50
    x, y = text[:, :-1].astype(np.int32), text[:, 1:]
    options = {"answers": "tokens", "causal": True, "activation": None}
    large = build("gru", vocabulary=50, length=LENGTH, heads={"next": 50}, width=64, depth=1, **options)
    large.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    large.optimizer.learning_rate = 0.01
    large.fit(x[:800], y[:800], epochs=8, verbose=0)
    samples = {"x_train": x[:800], "y_train": y[:800], "x_test": x[800:], "y_test": y[800:]}
    outcome = outcome_of(large, samples, Distill(student="text-cnn", width=24, top_k=8, epochs=8, learning_rate=0.01))
    assert outcome.loss_before is not None
    assert outcome.loss_after is not None
    assert outcome.loss_after < outcome.loss_before + 0.35
    with pytest.raises(ModelError, match="one answer for a sentence"):
        outcome_of(large, samples, Distill(student="bag-of-embeddings", width=24))


@pytest.mark.slow
def test_a_student_with_another_signature_is_refused(teacher: Any, tmp_path: Path) -> None:
    import keras

    ids = keras.Input((LENGTH,), dtype="int32", name="words")
    y = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(WORDS, 4)(ids))
    keras.Model(ids, keras.layers.Dense(CLASSES, activation="softmax")(y)).save(tmp_path / "student.keras")
    with pytest.raises(ModelError, match="give the student the same names, shapes and dtypes"):
        prepared(teacher, data(), Distill(student=str(tmp_path / "student.keras"), epochs=0))
