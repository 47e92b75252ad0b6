"""A bundle's flatbuffer in an engine."""

from .bundle import Bundle
from .engines import Engine, open_engine
from .errors import BundleError
from .manifest import TensorSpec


def load_model(bundle: Bundle, engine: str = "auto", threads: int = 1) -> Engine:
    """Verify and load the bundle's CPU variant. Raises BundleError, EngineError, InputError."""
    variant = bundle.manifest.variant()
    loaded = open_engine(bundle.model_path_or_bytes(variant), engine, threads)
    for described, found in ((variant.inputs, loaded.inputs), (variant.outputs, loaded.outputs)):
        # By their order in the manifest the golden samples, and by their names a user's arrays, find their tensors.
        if [(t.name, t.shape, t.dtype) for t in described] != [(t.name, t.shape, t.dtype) for t in found]:
            raise BundleError(
                f"The manifest describes {variant.path} as {_names(described)}, the model has {_names(found)}: "
                "convert the model again."
            )
    return loaded


def _names(tensors: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{tensor.name} {tensor.dtype}{list(tensor.shape)}" for tensor in tensors)
