"""The inputs and outputs of a model by name, and how to call it, whichever kind of Keras model or SavedModel it is."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgewright_runtime.errors import InputError

from .data import Dataset
from .errors import ModelError
from .fitting import InputSpec

Shapes = Mapping[str, int | Sequence[int]]

_DTYPES = {"float16": "float32", "bfloat16": "float32", "float64": "float32"}  # of what Keras casts by itself
_EDGE_DTYPES = ("float32", "int8", "uint8", "int16", "int32", "int64", "bool")


@dataclass(frozen=True)
class Interface:
    """call: a list of tensors in the order of inputs → (name, tensor) of each output; weight_bytes: of all weights.

    batched: whether call takes any batch, not only that of inputs. pack: the same list → what the model takes.
    """

    inputs: tuple[InputSpec, ...]
    call: Callable[[list[Any]], list[tuple[str, Any]]]
    weight_bytes: int
    batched: bool
    pack: Callable[[list[Any]], Any]


def interface_of(model: Any, batch: int, shapes: Shapes, data: Dataset) -> Interface:
    """Find the model's interface and settle every size. Raises ModelError, or InputError where a size is missing."""
    import keras

    if not isinstance(model, keras.Model):
        return _saved_model(model, batch, shapes, data)
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False):
            raise ModelError(
                f"Layer {layer.name} is stateful, which a flatbuffer cannot be: build it with stateful=False."
            )
    functional = getattr(model, "_functional", None) or model
    if hasattr(functional, "_inputs_struct"):
        wanted = _named(functional._inputs_struct, [t._keras_history.operation.name for t in functional.inputs])
        structure = functional._inputs_struct
        output_names: list[str] | None = [t._keras_history.operation.name for t in functional.outputs]
    else:
        structure, names = _subclass_inputs(keras, model, data)
        wanted = _named(structure, names)
        output_names = None
    inputs = _settle([(name, tuple(t.shape), t.dtype) for name, t in wanted], batch, shapes, data)

    def pack(tensors: list[Any]) -> Any:
        return keras.tree.pack_sequence_as(structure, tensors)

    def call(tensors: list[Any]) -> list[tuple[str, Any]]:
        result = model(pack(tensors), training=False)
        return _named(result, output_names or ["output"] * len(keras.tree.flatten(result)))

    return Interface(inputs, call, _bytes(model.weights), all(t.shape[0] is None for _, t in wanted), pack)


def _bytes(variables: list[Any]) -> int:
    """The size of Keras' or TensorFlow's variables."""
    import tensorflow as tf

    return sum(t.shape.num_elements() * t.dtype.size for t in map(tf.convert_to_tensor, variables))


def plain_name(name: str) -> str:
    """Of an input or output, as the signature has it: letters, digits and underscores of ASCII."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _named(structure: Any, fallback: list[str]) -> list[tuple[str, Any]]:
    """(name, leaf) for each leaf: its key where it lies in a dict, else the fallback; made unique and plain."""
    import keras

    named: list[tuple[str, Any]] = []
    taken: set[str] = set()
    for (path, leaf), name in zip(keras.tree.flatten_with_path(structure), fallback, strict=True):
        keys = [key for key in path if isinstance(key, str)]
        plain = plain_name("_".join(keys) or name)
        unique = next(n for n in (plain, *(f"{plain}_{i}" for i in range(1, 10000))) if n not in taken)
        taken.add(unique)
        named.append((unique, leaf))
    return named


def _subclass_inputs(keras: Any, model: Any, data: Dataset) -> tuple[Any, list[str]]:
    """Symbolic inputs of a subclassed model, which does not say what it takes: as the data, else as it was built."""
    built = (getattr(model, "_build_shapes_dict", None) or {}).get("input_shape")
    samples = data.x_train or data.x_test
    if samples:
        narrow = {"float64": "float32", "int64": "int32"}
        tensors = {
            name or "input": keras.KerasTensor((None, *x.shape[1:]), narrow.get(x.dtype.name, x.dtype.name))
            for name, x in samples.items()
        }
        if set(samples) == {""}:
            return tensors["input"], ["input"]
        # Built on a list: the data's order is the list's.
        listed = isinstance(built, list | tuple) and isinstance(built[0], list | tuple)
        return list(tensors.values()) if listed else tensors, list(tensors)
    if built is None:
        raise ModelError(
            f"Model {model.name} is subclassed and does not say what it takes: give --data, or save it after a call."
        )
    shapes = built if isinstance(built, Mapping) else {"input": built}
    has_embedding = any(isinstance(layer, keras.layers.Embedding) for layer in model._flatten_layers())
    if has_embedding and len(shapes) > 1:
        raise ModelError(f"Model {model.name} does not say which of its inputs are token ids: give --data.")
    dtype = "int32" if has_embedding else "float32"
    tensors = {name: keras.KerasTensor((None, *shape[1:]), dtype) for name, shape in shapes.items()}
    return tensors if isinstance(built, Mapping) else tensors["input"], list(tensors)


def _saved_model(model: Any, batch: int, shapes: Shapes, data: Dataset) -> Interface:
    """The serving signature of a SavedModel."""
    signatures = getattr(model, "signatures", {})
    key = "serving_default" if "serving_default" in signatures else next(iter(signatures), None)
    if key is None:
        raise ModelError("The SavedModel has no signature: export it with keras.Model.export, or give the .keras file.")
    function = signatures[key]
    specs = dict(sorted(function.structured_input_signature[1].items()))  # as saved, their order is chance
    if any(spec.shape.rank is None for spec in specs.values()):
        raise ModelError("The SavedModel has an input of unknown rank: export it with an input_signature.")
    wanted = [(name, tuple(spec.shape), spec.dtype.name) for name, spec in specs.items()]
    inputs = _settle(wanted, batch, shapes, data)

    def pack(tensors: list[Any]) -> Any:
        return dict(zip(specs, tensors, strict=True))

    def call(tensors: list[Any]) -> list[tuple[str, Any]]:
        return _named(function(**pack(tensors)), [""] * len(function.structured_outputs))

    batched = all(shape[0] is None for _, shape, _ in wanted)
    return Interface(inputs, call, _bytes(list(function.variables)), batched, pack)


def _settle(
    wanted: list[tuple[str, tuple[int | None, ...], str]], batch: int, shapes: Shapes, data: Dataset
) -> tuple[InputSpec, ...]:
    """Fill in every open size: from ``shapes``, else from the data."""
    names = [name for name, _, _ in wanted]
    for name in shapes:
        if name not in names:
            raise InputError(f"There is no input {name!r}: the model's inputs are {', '.join(names)}.")
    samples = data.x_train or data.x_test
    if set(samples) == {""}:
        samples = {names[0]: samples[""]}
    settled = []
    for name, shape, dtype in wanted:
        if dtype == "string":
            raise ModelError(
                f"Input {name} takes strings, which no edge runtime can split: give a model of token ids, "
                "and the vocabulary apart (--tokenizer FILE.json)."
            )
        dtype = _DTYPES.get(dtype, dtype)
        if dtype not in _EDGE_DTYPES:
            raise ModelError(f"Input {name} is of dtype {dtype}: expected one of {', '.join(_EDGE_DTYPES)}.")
        if not shape:
            raise ModelError(f"Input {name} is a scalar: expected a batch of samples as the first axis.")
        if shape[0] not in (None, batch):
            raise InputError(f"Input {name} has a fixed batch of {shape[0]}: convert with --batch {shape[0]}.")
        given = shapes.get(name)
        open_axes = [axis for axis, size in enumerate(shape) if size is None and axis > 0]
        sizes = [given] * len(open_axes) if isinstance(given, int) else list(given or ())
        if len(sizes) == len(shape) - 1 and all(a in (None, b) for a, b in zip(shape[1:], sizes, strict=True)):
            sizes = [sizes[axis - 1] for axis in open_axes]  # the whole shape was given
        if given is None and name in samples and samples[name].ndim == len(shape):
            sizes = [samples[name].shape[axis] for axis in open_axes]
        if len(sizes) != len(open_axes) or any(size < 1 for size in sizes):
            raise InputError(
                f"Input {name} has the open shape {shape[1:]}, a flatbuffer needs a fixed one: "
                f"give a size for each None (--shape {name}=24), or data of that size."
            )
        filled = dict(zip(open_axes, sizes, strict=True))
        settled.append(InputSpec(name, (batch, *(filled.get(a, s) for a, s in enumerate(shape) if a > 0)), dtype))  # type: ignore[arg-type]
    return tuple(settled)
