"""The model, whatever it comes in: .keras, .h5, a SavedModel folder, file.py:function. Imports TensorFlow.

Keras' safe mode stays on: a file with Lambda layers holds Python code that loading would run, so it takes `trust`.
"""

import contextlib
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

from edgewright_runtime.errors import EdgewrightError, InputError

from .errors import ModelError
from .function import call_function, is_function

_HDF5 = b"\x89HDF\r\n\x1a\n"
_WAYS = "expected a .keras or .h5 file, a SavedModel folder, or file.py:function"


def kind_of(source: str | Path) -> str:
    """ "function", "savedmodel", "keras" or "h5", by content, not by suffix. Needs no TensorFlow. Raises InputError."""
    if is_function(source):
        if not Path(str(source).rpartition(":")[0]).is_file():
            raise InputError(f"Model file {str(source).rpartition(':')[0]} does not exist: expected a Python file.")
        return "function"
    path = Path(source)
    if not path.exists():
        raise InputError(f"Model {path} does not exist: {_WAYS}.")
    if (path / "saved_model.pb").is_file():
        return "savedmodel"
    if path.is_dir():
        raise InputError(f"Folder {path} is no SavedModel (it holds no saved_model.pb): {_WAYS}.")
    try:
        with path.open("rb") as file:
            head = file.read(8)
        if head == _HDF5:
            return "h5"
        if head[4:8] == b"TFL3":
            raise InputError(
                f"{path} is a flatbuffer already: look at it with `edgewright inspect`, or give its Keras model."
            )
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if "config.json" in archive.namelist():
                    return "keras"
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"Model {path} cannot be read ({error}): {_WAYS}.") from error
    raise InputError(f"{path} is no model that edgewright knows: {_WAYS}.")


def load_model(source: str, trust: bool, compiled: bool = False) -> Any:
    """A keras.Model, or for a SavedModel the loaded object. Raises ModelError with the remedy.

    compiled: with its loss and optimizer, where it was saved with them and they are known here.
    """
    kind = kind_of(source)
    if kind == "savedmodel":
        import tensorflow as tf

        return tf.saved_model.load(source)
    import keras

    if kind == "function":
        model = call_function(source)
        if not isinstance(model, keras.Model):
            raise ModelError(f"{source} returned a {type(model).__name__}: expected a keras.Model.")
        return model
    if kind == "keras":
        _import_hub(source)
    try:
        # Keras saves its operations into an .h5 under names that it does not look up there.
        own = _operations() if kind == "h5" else None
        if compiled:
            with contextlib.suppress(Exception):  # a loss of the user's own: the model without it is tried below
                return keras.models.load_model(_with_suffix(source, kind), own, safe_mode=not trust)
        return keras.models.load_model(_with_suffix(source, kind), own, compile=False, safe_mode=not trust)
    except EdgewrightError:
        raise
    except Exception as error:  # Keras raises ValueError, TypeError, KeyError, NotImplementedError, OSError …
        raise ModelError(_explain(source, str(error))) from error


def _import_hub(source: str) -> None:
    """Make KerasHub's layers known, where the model is made of them."""
    try:
        with zipfile.ZipFile(source) as archive:
            config = archive.read("config.json")
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ModelError(f"Model {source} is damaged ({error}): save it again.") from error
    if b'"keras_hub' not in config:
        return
    try:
        import keras_hub  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"{source} is made of KerasHub's layers, which need {error.name}: pip install --no-deps keras-hub."
        ) from error


def _operations() -> dict[str, Any]:
    """The classes of keras.ops, such as NotEqual, which makes the mask of an Embedding."""
    from keras.src import ops
    from keras.src.ops.operation import Operation

    modules = [module for module in vars(ops).values() if getattr(module, "__name__", "").startswith("keras.src.ops.")]
    classes = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return {c.__name__: c for c in classes if issubclass(c, Operation) and c.__module__.startswith("keras.src.ops.")}


def _with_suffix(source: str, kind: str) -> str:
    if Path(source).suffix in (".keras", ".h5", ".hdf5"):
        return source
    raise ModelError(f"{source} is a Keras model by content: rename it to end in .{kind}, as Keras wants it.")


def _explain(source: str, message: str) -> str:
    if "safe_mode=False" in message:
        return (
            f"{source} holds a Lambda layer, which is Python code that loading would run: "
            "if you trust whoever made the file, convert with --trust."
        )
    unknown = re.search(
        r"(?:Could not locate (?:class|function)|Unknown (?:layer|object)):? '?\"?([A-Za-z0-9_>]+)", message
    )
    if unknown:
        return (
            f"{source} uses the custom object {unknown[1]}, which is not known here: give file.py:function that builds "
            "the model, or register the class with keras.saving.register_keras_serializable and load it there."
        )
    if "No model config" in message or "model_config" in message:
        return f"{source} holds weights alone: save the whole model with model.save, or give file.py:function."
    return f"{source} cannot be loaded by Keras: {message.strip().splitlines()[0][:300]} Save it again with this Keras."
