"""The models by name: what they answer, what they share, and that their sizes are known beforehand."""

from typing import Any

import pytest

from edgewright_converter.language.zoo import ZOO, build, estimate
from edgewright_runtime.errors import InputError

SIZES: dict[str, int] = {"vocabulary": 50, "length": 12}
CLASSIFIERS = [name for name, entry in ZOO.items() if entry.task == "classify"]
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in CLASSIFIERS),
    *((name, {"width": 24, "depth": 3, "embedding": 8}) for name in CLASSIFIERS if not ZOO[name].solved),
    ("linear", {"width": 2}),
    ("linear", {"codes": 2}),
    ("bag-of-embeddings", {"depth": 0, "pooling": "real"}),
    ("text-cnn", {"kernels": (3, 4, 5), "width": 20, "depth": 2}),
    ("gru", {"bidirectional": True, "pooling": "max", "depth": 2}),
    ("lstm", {"bidirectional": True}),
    ("transformer", {"sharing": "albert", "depth": 4, "hidden": 40, "attention_heads": 3, "width": 30}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_parameters_are_known_without_building(name: str, options: dict[str, Any]) -> None:
    model = build(name, **SIZES, heads={"label": 5}, **options)
    assert model.count_params() == estimate(name, **SIZES, classes=5, **options).parameters
    assert model.output_shape == (None, 5)
    assert [tensor.name for tensor in model.inputs] == ["tokens"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gpt", {}),
        ("lstm-lm", {}),
        ("lstm-lm", {"embedding": 8, "width": 24, "depth": 2}),
        ("translator", {}),
        ("translator", {"hidden": 40, "attention_heads": 3, "width": 30, "depth": 1}),
    ],
)
def test_parameters_of_models_that_say_tokens_are_known_too(name: str, options: dict[str, Any]) -> None:
    model = build(name, **SIZES, heads={}, **options)
    assert model.count_params() == estimate(name, **SIZES, classes=0, **options).parameters
    assert model.output_shape == (None, SIZES["length"], SIZES["vocabulary"])


@pytest.mark.slow
def test_several_heads_share_a_body() -> None:
    model = build("text-cnn", **SIZES, heads={"intent": 5, "the room": 3})
    assert model.output_names == ["intent", "the_room"]
    assert [shape[-1] for shape in model.output_shape] == [5, 3]
    assert model.count_params() == estimate("text-cnn", **SIZES, classes=8).parameters


@pytest.mark.slow
def test_causal_answers_do_not_see_what_comes() -> None:
    import numpy as np

    x = np.random.default_rng(0).integers(1, 50, (2, 12)).astype(np.int32)
    x[1] = x[0]
    x[1, 7:] = 3
    for name in (name for name in CLASSIFIERS if ZOO[name].per_token):
        model = build(name, **SIZES, heads={"next": 9}, depth=2, answers="tokens", causal=True)
        first, second = model.predict(x, verbose=0)
        np.testing.assert_allclose(first[:7], second[:7], atol=1e-6)
        assert np.abs(first[7:] - second[7:]).max() > 1e-6


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match=r"no model 'bert': choose one of bag-of-embeddings, linear, text-cnn"):
        build("bert", **SIZES, heads={"label": 2})
    with pytest.raises(InputError, match="no option 'sharing': its options are dropout"):
        build("text-cnn", **SIZES, heads={"label": 2}, sharing="albert")
    with pytest.raises(InputError, match="width of a model is 1 or more, not 0"):
        estimate("gru", **SIZES, classes=2, width=0)
    for codes in (9, -1, True):
        with pytest.raises(InputError, match=f"0 to 8 bytes for a token, not {codes}"):
            estimate("linear", **SIZES, classes=5, codes=codes)
    with pytest.raises(InputError, match="each of 2 classes or more"):
        build("gru", **SIZES, heads={"label": 1})


def test_sharing_spares_parameters_not_work() -> None:
    own, shared = (estimate("transformer", **SIZES, classes=2, depth=4, sharing=how) for how in ("", "albert"))
    assert own.multiply_adds == shared.multiply_adds
    assert own.parameters - shared.parameters == 3 * (64 * 64 * 4 + 64 * 4 + 64 * 128 * 2 + 64 + 128 + 4 * 64)
    assert own.bytes["int8"] > 2 * shared.bytes["int8"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "modes"),
    [
        ("bag-of-embeddings", {"width": 24, "depth": 2}, ("float32", "int8")),
        ("linear", {"codes": 3}, ("float32", "int8-fast")),
        ("text-cnn", {"width": 24, "depth": 2}, ("int8", "int8-fast")),
        ("text-cnn", {"width": 64, "depth": 2}, ("int8", "dynamic-int8")),
        ("lstm", {"width": 24}, ("int8", "dynamic-int8")),
        ("transformer", {"width": 48, "depth": 1, "embedding": 16}, ("int8", "float32")),
    ],
)
def test_bytes_are_known_to_a_tenth(name: str, options: dict[str, Any], modes: tuple[str, ...]) -> None:
    import numpy as np

    from edgewright_converter.back import finish
    from edgewright_converter.data import from_mapping
    from edgewright_converter.front import prepare
    from edgewright_converter.job import Request, Steps
    from edgewright_converter.recipe import Recipe
    from edgewright_converter.targets import get_target

    sizes: dict[str, int] = {"vocabulary": 1000, "length": 20}
    model = build(name, **sizes, heads={"label": 7}, **options)
    samples = from_mapping({"x_train": np.random.default_rng(0).integers(0, 1000, (32, 20)).astype(np.int32)})
    for mode in modes:
        steps = Steps(lambda step, share: None)
        request = Request(None, samples, Recipe.load(mode), get_target("local"), 1, {}, None, None, False, 0)
        size = len(finish(prepare(model, request, steps), request, steps).model)
        assert estimate(name, **sizes, classes=7, **options).bytes[mode] == pytest.approx(size, rel=0.1)
