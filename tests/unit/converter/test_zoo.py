"""Every kind of model in every mode: it converts, it answers as Keras does, it repeats to the byte, it has no Flex."""

import pickle
from typing import Any

import numpy as np
import pytest

from edgewright_converter.back import finish
from edgewright_converter.data import from_mapping
from edgewright_converter.errors import ConversionError
from edgewright_converter.flatbuffer import read
from edgewright_converter.front import prepare
from edgewright_converter.job import Finished, Request, Steps
from edgewright_converter.recipe import Recipe, builtin_recipes
from edgewright_converter.targets import get_target, version_key

pytestmark = pytest.mark.slow

RECIPES = [name for name in builtin_recipes() if not Recipe.load(name).model_passes]  # those train, and have their own
REPEATED = ("int8",)  # the float model is on its way
LIMITS = {
    **{"float32": 1e-5, "float16": 2e-3, "dynamic-int8": 0.02, "int8-fast": 0.02, "int8": 0.06, "int8-full": 0.06},
    **{"int16x8": 0.02, "int4": 0.15},
}
NAMES = [
    "functional",
    "sequential",
    "subclassed",
    "subclassed_dict",
    "nested",
    "shared",
    "many",
    "dicts",
    "conv1d",
    "conv2d",
    "lstm",
    "gru",
    "bidirectional",
    "masked",
    "stacked",
    "transformer",
    "transformer_masked",
]
OTHERWISE_ON_THE_OLD_RUNTIME = ["many", "conv2d", "lstm", "gru", "masked", "transformer", "transformer_masked"]


def convert(model: Any, data: dict[str, Any], recipe: str, batch: int = 1, target: str = "local") -> Finished:
    """The whole conversion in this process; a crash of TensorFlow would end the tests, and so be noticed."""
    request = Request(
        None, from_mapping(data), Recipe.load(recipe), get_target(target), batch, {}, None, None, False, seed=0
    )
    steps = Steps(lambda step, fraction: None)
    prepared = pickle.loads(pickle.dumps(prepare(model, request, steps)))
    return pickle.loads(pickle.dumps(finish(prepared, request, steps)))


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str) -> Any:
    from unit.converter import zoo

    return zoo.build(name)


def test_the_list_above_is_the_zoo() -> None:
    from unit.converter import zoo

    assert sorted(NAMES) == sorted(zoo.ZOO)


@pytest.mark.parametrize("recipe", RECIPES)
def test_converts_and_answers_as_keras_does(name: str, model: Any, recipe: str) -> None:
    from unit.converter import zoo

    finished = convert(model, zoo.samples(name), recipe)
    flatbuffer = read(finished.model)
    assert finished.difference < LIMITS[recipe]
    assert flatbuffer.signature == "serving_default"
    assert not [operator.name for operator in flatbuffer.operators if operator.name.startswith("Flex")]
    assert all(0 not in tensor.shape and -1 not in tensor.shape for _, tensor in flatbuffer.inputs)
    weights = max(
        (tensor for tensor in flatbuffer.tensors), key=lambda tensor: np.prod(tensor.shape) * (tensor.size_bytes > 0)
    )
    if np.prod(weights.shape) >= 1024:  # smaller ones are left alone beside float activations
        own = {"float32": ("float32",), "float16": ("float16",), "int4": ("int4", "int8")}
        assert weights.dtype in own.get(recipe, ("int8", "int16"))
    if recipe == "int8-full":
        floats = [spec for spec in (*finished.inputs, *finished.outputs) if spec.dtype == "float32"]
        assert floats == []
    if recipe in REPEATED:
        assert convert(model, zoo.samples(name), recipe).model == finished.model


@pytest.mark.parametrize("recipe", ["float32", "int8-fast", "int8", "int16x8"])
@pytest.mark.parametrize("name", OTHERWISE_ON_THE_OLD_RUNTIME, indirect=True)
def test_batch_of_four_for_the_old_runtime(name: str, model: Any, recipe: str) -> None:
    from unit.converter import zoo

    if (name, recipe) == ("transformer", "int16x8"):
        with pytest.raises(ConversionError, match=r"rpi4-tflite: GELU .* tflite has no kernel from int16"):
            convert(model, zoo.samples(name), recipe, batch=4, target="rpi4-tflite")
        return
    finished = convert(model, zoo.samples(name), recipe, batch=4, target="rpi4-tflite")
    assert finished.difference < LIMITS[recipe]
    assert {spec.shape[0] for spec in (*finished.inputs, *finished.outputs)} == {4}
    assert finished.min_runtime is not None
    assert version_key(finished.min_runtime) <= version_key("2.14.0")


def test_inputs_and_outputs_keep_the_models_names_and_order() -> None:
    from unit.converter import zoo

    many = convert(zoo.build("many"), zoo.samples("many"), "float32")
    assert [spec.name for spec in many.inputs] == ["tokens", "extra"]
    assert [spec.name for spec in many.outputs] == ["zeta", "alpha"]
    dicts = convert(zoo.build("dicts"), zoo.samples("dicts"), "float32")
    assert {spec.name for spec in dicts.inputs} == {"token_ids", "padding_mask"}
    assert {spec.name for spec in dicts.outputs} == {"sequence", "pooled"}


def test_int8_samples_at_the_border_are_what_the_bundle_promises() -> None:
    from unit.converter import zoo

    finished = convert(zoo.build("many"), zoo.samples("many"), "int8-full")
    by_name = {spec.name: spec for spec in finished.inputs}
    assert (by_name["tokens"].dtype, by_name["extra"].dtype) == ("int32", "int8")
    assert by_name["extra"].scale is not None
    for spec, samples in zip(finished.inputs, finished.golden.inputs, strict=True):
        assert samples.dtype == np.dtype(spec.dtype)
        assert samples.shape[1:] == spec.shape
