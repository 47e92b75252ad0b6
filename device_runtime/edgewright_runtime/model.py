"""A bundle's flatbuffer in an engine."""

from typing import Union

from .bundle import Bundle
from .engines import EDGETPU, Engine, open_engine
from .errors import BundleError, EngineError, InputError
from .manifest import TensorSpec, Variant


def load_model(bundle: Bundle, engine: str = "auto", threads: int = 1) -> Engine:
    """Verify and load the variant that this device can run. Raises BundleError, EngineError, InputError.

    A bundle may carry a variant for an Edge TPU beside the one for the CPU. "auto" takes it where there is an Edge TPU
    that works; "edgetpu" insists on it; any other engine takes the CPU's.
    """
    manifest = bundle.manifest
    if engine.partition(":")[0] == EDGETPU:
        return _load(bundle, manifest.variant(EDGETPU), engine, threads)
    if engine == "auto" and any(variant.layout == EDGETPU for variant in manifest.variants):
        try:
            return _load(bundle, manifest.variant(EDGETPU), EDGETPU, threads)
        except EngineError:
            pass  # no stick, no library: what the other variant is for
    return _load(bundle, manifest.variant(), engine, threads)


def load_encoder(bundle: Bundle, engine: str = "auto", threads: int = 1) -> Engine:
    """The graph that reads a translation's source. Raises as ``load_model``, InputError where the bundle has none."""
    encoder = bundle.manifest.encoder
    if encoder is None:
        raise InputError(f"The model {bundle.manifest.name} does not translate: convert it with --task translate.")
    return _load(bundle, encoder.variant, engine, threads)


def _load(bundle: Bundle, variant: Variant, engine: str, threads: int) -> Engine:
    loaded = open_engine(bundle.model_path_or_bytes(variant), engine, threads)
    for described, found in ((variant.inputs, loaded.inputs), (variant.outputs, loaded.outputs)):
        # By their order in the manifest the golden samples, and by their names a user's arrays, find their tensors.
        if _facts(described, variant) != _facts(found, variant):
            raise BundleError(
                f"The manifest describes {variant.path} as {_names(described)}, the model has {_names(found)}: "
                "convert the model again."
            )
    if variant.layout == EDGETPU:
        loaded.inputs, loaded.outputs = variant.inputs, variant.outputs
    return loaded


def _facts(tensors: tuple[TensorSpec, ...], variant: Variant) -> list[tuple[Union[str, tuple[int, ...]], ...]]:
    """edgetpu_compiler drops the signature, which has the names; the order stays."""
    named = variant.layout != EDGETPU
    return [(t.name if named else "", t.shape, t.dtype) for t in tensors]


def _names(tensors: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{tensor.name} {tensor.dtype}{list(tensor.shape)}" for tensor in tensors)
