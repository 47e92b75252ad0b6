"""Does the model fit the board: its memory, its storage, its processor?"""

from collections.abc import Iterator

from ..flatbuffer import Flatbuffer
from ..rawmodel import RawModel
from ..targets import Target
from .finding import ERROR, NOTE, WARNING, Finding
from .memory import need
from .work import multiplications

_TIGHT = 0.5  # of the board's memory; the system and what else runs there need theirs


def board(flatbuffer: Flatbuffer, raw: RawModel, target: Target) -> Iterator[Finding]:
    """Memory that the model takes against what there is, storage, and instructions that its kernels would use."""
    wanted = need(flatbuffer, raw, target.engine)
    parts = (
        f"{wanted.total_bytes / 1e6:.1f} MB: engine {wanted.engine_bytes / 1e6:.0f}, model "
        f"{wanted.model_bytes / 1e6:.2f}, packed weights {wanted.packed_bytes / 1e6:.2f}, activations "
        f"{wanted.arena_bytes / 1e6:.2f}"
    )
    place = target.board or target.name
    share = 0.0 if target.memory_mb is None else wanted.total_bytes / (target.memory_mb * 1e6)
    if share > 1:
        problem = f"about {parts}, and {place} has {target.memory_mb} MB"
        yield Finding(
            ERROR, "memory", "memory", problem, "use a smaller model, a smaller batch or int8, or a larger board"
        )
    elif share > _TIGHT:
        problem = f"about {parts}, of {target.memory_mb} MB that {place} has in all"
        yield Finding(
            WARNING, "memory", "memory", problem, "use int8 or a smaller batch, and stop what else runs there"
        )
    else:
        yield Finding(NOTE, "memory", "memory", f"about {parts}")
    if target.storage_mb is not None and flatbuffer.size_bytes > target.storage_mb * 1e6:
        problem = f"the model has {flatbuffer.size_bytes / 1e6:.1f} MB, and {target.storage_mb} MB are free on {place}"
        yield Finding(ERROR, "storage", "storage", problem, "free some space there: `edgewright gc`")
    yield from _processor(flatbuffer, target)


def _processor(flatbuffer: Flatbuffer, target: Target) -> Iterator[Finding]:
    if not target.cpu_features:
        return
    work = multiplications(flatbuffer)
    types = {tensor.dtype for tensor in flatbuffer.tensors}
    if target.machine == "armv7l" and not {"neon", "asimd"} & set(target.cpu_features):
        problem = f"{target.cpu or 'its processor'} has no NEON, which the engines' kernels are built on"
        yield Finding(ERROR, "cpu", "processor", problem, "use a board with a newer processor")
    if target.machine == "x86_64" and target.engine == "tflite" and not {"avx", "sse4_1"} & set(target.cpu_features):
        yield Finding(WARNING, "cpu", "processor", "it has no SSE 4.1, so float kernels are slow")
    if "int8" in work and target.machine in ("aarch64", "armv7l") and "asimddp" not in target.cpu_features:
        problem = (
            f"{target.cpu or 'it'} has no dot-product instructions (asimddp): int8 gains less speed than on a Pi 5"
        )
        yield Finding(NOTE, "cpu", "processor", problem)
    if "float16" in types and "asimdhp" not in target.cpu_features and target.machine == "aarch64":
        problem = f"{target.cpu or 'it'} computes no float16 (asimdhp): the weights are widened to float32 when loaded"
        yield Finding(NOTE, "cpu", "processor", problem)
