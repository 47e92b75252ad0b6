"""The doctor: will this flatbuffer run on that target? Told before anything is sent, without TensorFlow or an engine.

findings = examine(flatbuffer_bytes, get_target("rpi4"))
"""

from edgewright_runtime.errors import InputError

from ..flatbuffer import read
from ..flattable import Malformed
from ..rawmodel import RawModel
from ..targets import Target
from .board import board
from .finding import ERROR, NOTE, SEVERITIES, WARNING, Finding, worst_first
from .operators import operators
from .structure import structure

__all__ = ["ERROR", "NOTE", "SEVERITIES", "WARNING", "Finding", "examine", "worst_first"]

# What people hand over instead of a flatbuffer, by how the file begins.
_OTHERS = {
    b"\x89HDF": ("it is an HDF5 file, such as Keras' .h5", "convert it: `edgewright convert MODEL`"),
    b"PK\3\4": ("it is a ZIP archive, such as a .keras file", "convert it: `edgewright convert MODEL`"),
    b"\x08\x01\x12": ("it looks like a SavedModel's .pb", "convert its folder: `edgewright convert FOLDER`"),
}


def examine(data: bytes, target: Target) -> list[Finding]:
    """All findings about one flatbuffer on one target, the worst first. Bytes that are no model are a finding too."""
    if len(data) < 8 or data[4:8] != b"TFL3":
        return [_no_model(data)]
    try:
        flatbuffer, raw = read(data), RawModel(data)
        found = [*operators(flatbuffer, raw, target), *structure(flatbuffer, raw)]
        found += board(flatbuffer, raw, target)
        if target.edgetpu:
            from ..edgetpu.mapping import edgetpu_findings  # which speaks of findings itself

            found += edgetpu_findings(flatbuffer, raw)
    except (InputError, Malformed, IndexError, ValueError, RecursionError) as error:
        problem = str(error).partition(":")[0] if isinstance(error, InputError) else f"it contradicts itself ({error})"
        return [Finding(ERROR, "integrity", "the file", problem, "convert or copy the model again")]
    return worst_first(found)


def _no_model(data: bytes) -> Finding:
    for begin, (problem, remedy) in _OTHERS.items():
        if data.startswith(begin):
            return Finding(ERROR, "integrity", "the file", problem, remedy)
    problem = "it is empty" if not data else "it is no TFLite flatbuffer (the marker TFL3 is missing)"
    return Finding(ERROR, "integrity", "the file", problem, "give an .ewb or a .tflite file")
