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
    """flatbuffers: by their path in the bundle, or by the file's own name. bundle: None for a bare flatbuffer."""

    path: Path
    size_bytes: int
    flatbuffers: dict[str, Flatbuffer]
    bundle: Bundle | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        document: dict[str, Any] = {"path": str(self.path), "size_bytes": self.size_bytes, "bundle": None}
        if self.bundle is not None:
            document["bundle"] = {"id": self.bundle.id, **self.bundle.manifest.to_document()}
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
            return Inspection(path, len(data), {path.name: read(data)}, None)
    except OSError as error:
        raise InputError(f"Cannot read {path} ({error.strerror}): check the path.") from error
    bundle = Bundle.open(path)
    bundle.verify()
    flatbuffers = {variant.path: read(bundle.read(variant.path)) for variant in bundle.manifest.variants}
    return Inspection(path, bundle.size_bytes, flatbuffers, bundle)
