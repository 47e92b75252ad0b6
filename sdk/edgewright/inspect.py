"""What is in a file: a bundle, or a bare flatbuffer."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgewright_converter.flatbuffer import Flatbuffer, read
from edgewright_runtime.archive import MANIFEST
from edgewright_runtime.bundle import Bundle

from .errors import InputError

_ZIP = b"PK\3\4"


@dataclass(frozen=True)
class Inspection:
    """flatbuffers, contents: by their path in the bundle, or by the file's own name; bundle: None for a bare one."""

    path: Path
    size_bytes: int
    flatbuffers: dict[str, Flatbuffer]
    bundle: Bundle | None
    contents: dict[str, bytes]

    def edgetpu(self) -> dict[str, list[dict[str, Any]]]:
        """For each flatbuffer that is not compiled its operations in order, with where an Edge TPU would have them."""
        from edgewright_converter.doctor.operators import EDGETPU_OPERATOR
        from edgewright_converter.edgetpu.mapping import map_model
        from edgewright_converter.rawmodel import RawModel

        return {
            name: [asdict(placed) for placed in map_model(flatbuffer, RawModel(self.contents[name])).placed]
            for name, flatbuffer in self.flatbuffers.items()
            if all(operator.name != EDGETPU_OPERATOR for operator in flatbuffer.operators)
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        document: dict[str, Any] = {"path": str(self.path), "size_bytes": self.size_bytes, "bundle": None}
        if self.bundle is not None:
            tokenizer = self.bundle.tokenizer()
            document["bundle"] = {"id": self.bundle.id, **self.bundle.manifest.to_document()}
            document["tokenizer"] = None if tokenizer is None else tokenizer.facts()
        document["flatbuffers"] = {name: asdict(flatbuffer) for name, flatbuffer in self.flatbuffers.items()}
        return document


def inspect(path: str | Path) -> Inspection:
    """Read and verify an .ewb, a release folder, or a .tflite file. Raises InputError, BundleError."""
    path = Path(path)
    if path.is_dir() and not (path / MANIFEST).is_file():
        raise InputError(f"{path} is a folder without {MANIFEST}: give an .ewb or a .tflite file.")
    try:
        data = _ZIP if path.is_dir() or path.suffix == ".ewb" else path.read_bytes()
        if not data.startswith(_ZIP):
            return Inspection(path, len(data), {path.name: read(data)}, None, {path.name: data})
    except OSError as error:
        raise InputError(f"Cannot read {path} ({error.strerror}): check the path.") from error
    bundle = Bundle.open(path)
    bundle.verify()
    contents = {variant.path: bundle.read(variant.path) for variant in bundle.manifest.variants}
    flatbuffers = {name: read(content) for name, content in contents.items()}
    return Inspection(path, bundle.size_bytes, flatbuffers, bundle, contents)
