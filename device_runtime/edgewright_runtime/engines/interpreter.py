"""The Interpreter API, which ai-edge-litert and tflite-runtime share."""

from mmap import ACCESS_READ, mmap
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Union

import numpy as np

from ..cut import operator_codes
from ..errors import EngineError, InputError
from ..manifest import TensorSpec
from .base import Array, Engine, decisive_line

_SEQUENCE_LSTM = 44  # of the schema's operators the one that the converter writes with a state that outlasts a run


class InterpreterEngine(Engine):
    """name: of the engine; distribution: the package that holds ``interpreter_class``; delegate: what else computes."""

    def __init__(
        self,
        name: str,
        distribution: str,
        interpreter_class: Any,
        model: Union[bytes, str, Path],
        threads: int,
        delegate: Any = None,
    ) -> None:
        self.name = name
        self._distribution = distribution
        if _head(model)[4:] != b"TFL3":
            what = "This" if isinstance(model, bytes) else str(model)
            raise InputError(f"{what} is no TFLite flatbuffer: give a model made by `edgewright convert`.")
        options: dict[str, Any] = {} if delegate is None else {"experimental_delegates": [delegate]}
        options["model_content" if isinstance(model, bytes) else "model_path"] = (
            model if isinstance(model, bytes) else str(model)
        )
        try:
            interpreter = interpreter_class(**options, num_threads=threads)
            started = perf_counter_ns()
            interpreter.allocate_tensors()
            self.allocate_ns = perf_counter_ns() - started
        except (ValueError, RuntimeError) as error:
            if delegate is not None:
                raise EngineError(
                    f"{name} cannot load this model with {distribution} {self.version} ({decisive_line(error)}): "
                    "compile it with edgetpu_compiler, and install the libedgetpu that is built for this interpreter's "
                    "TensorFlow."
                ) from error
            raise EngineError(
                f"{name} {self.version} cannot load this model ({decisive_line(error)}): "
                "convert it for this device's runtime with --target, or install a newer engine here."
            ) from error
        self._interpreter = interpreter
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        input_names, output_names = _signature_names(interpreter)
        self.inputs = tuple(_spec(tensor, input_names) for tensor in inputs)
        self.outputs = tuple(_spec(tensor, output_names) for tensor in outputs)
        self._input_indices = [tensor["index"] for tensor in inputs]
        self._output_indices = [tensor["index"] for tensor in outputs]
        self.run = interpreter.invoke
        if _SEQUENCE_LSTM in _codes(model):

            def run() -> None:
                interpreter.reset_all_variables()
                interpreter.invoke()

            self.run = run

    @property
    def version(self) -> str:
        from importlib.metadata import version

        return version(self._distribution)

    def _set(self, index: int, array: Array) -> None:
        self._interpreter.set_tensor(self._input_indices[index], array)

    def fetch(self) -> list[Array]:
        return [self._interpreter.get_tensor(index) for index in self._output_indices]

    def close(self) -> None:
        self._interpreter = self.run = _Closed()


def _head(model: Union[bytes, str, Path]) -> bytes:
    """The first eight bytes, the last four of which say what it is. tflite 2.14 crashes on what is no flatbuffer."""
    if isinstance(model, bytes):
        return model[:8]
    try:
        with Path(model).open("rb") as file:
            return file.read(8)
    except OSError as error:
        raise InputError(f"Cannot read the model at {model} ({error.strerror}): check the path.") from error


def _codes(model: Union[bytes, str, Path]) -> set[int]:
    """Of the operators; of a file only the pages that tell are read."""
    if isinstance(model, bytes):
        return operator_codes(model)
    with Path(model).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as pages:
        return operator_codes(pages)  # type: ignore[arg-type]


class _Closed:
    """Stands for a freed interpreter: whatever is asked of it is refused."""

    def __getattr__(self, name: str) -> Any:
        raise EngineError("The engine was closed: open the model again.")

    def __call__(self) -> None:
        raise EngineError("The engine was closed: open the model again.")


def _signature_names(interpreter: Any) -> tuple[dict[int, str], dict[int, str]]:
    """What the model's only signature calls its inputs and outputs, by tensor index; nothing where it has no such."""
    if len(interpreter.get_signature_list()) != 1:
        return {}, {}
    runner = interpreter.get_signature_runner()
    inputs = {tensor["index"]: name for name, tensor in runner.get_input_details().items()}
    outputs = {tensor["index"]: name for name, tensor in runner.get_output_details().items()}
    return inputs, outputs


def _spec(tensor: dict[str, Any], names: dict[int, str]) -> TensorSpec:
    scale, zero_point = tensor["quantization"]
    name, dtype = names.get(tensor["index"], tensor["name"]), np.dtype(tensor["dtype"]).name
    shape = tuple(int(size) for size in tensor["shape"])
    return TensorSpec(name, shape, dtype, float(scale), int(zero_point)) if scale else TensorSpec(name, shape, dtype)
