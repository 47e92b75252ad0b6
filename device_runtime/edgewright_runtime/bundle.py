"""Open and verify a bundle: an .ewb file, or a release folder holding the same files and manifest.json.

Nothing is used before it is verified: a flipped bit in a flatbuffer usually loads and answers wrong. Opening an .ewb
checks the structure and every checksum; reading a file checks its SHA-256 against the manifest as well.
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Optional, Union

from .archive import MANIFEST, MANIFEST_LIMIT_BYTES, read_chunks, scan, write_archive
from .disk import make_folder, replacing
from .errors import BundleError, InputError, storage_errors
from .hashing import new_sha256, sha256_hex
from .manifest import FileEntry, Manifest, TensorSpec, Variant, parse_manifest

if TYPE_CHECKING:
    import numpy as np

    from .audio.features import Features
    from .task import Task
    from .text import Tokenizer

__all__ = ["Bundle", "write_archive"]

PACKED = ".z"  # of golden samples that are mostly zeros, such as a state at the beginning of a text: a zlib stream
_UNPACKED_BYTES = 1 << 27


class Bundle:
    """A model with all that belongs to it. Made by ``Bundle.open``.

    path: the .ewb file or release folder; manifest: its typed manifest.json, of which manifest_bytes are the bytes;
    size_bytes: of the .ewb, or of all the folder's files.
    """

    def __init__(
        self, path: Path, manifest: Manifest, manifest_bytes: bytes, size_bytes: int, offsets: Optional[dict[str, int]]
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.manifest_bytes = manifest_bytes
        self.size_bytes = size_bytes
        self._offsets = offsets  # of each file's content in the .ewb; None for a folder
        self._entries = {entry.path: entry for entry in manifest.files}

    @classmethod
    def open(cls, path: Union[str, Path]) -> "Bundle":
        """Raises InputError where there is nothing to read, BundleError where it is damaged or too new."""
        path = Path(path)
        try:
            if path.is_dir():
                return cls._open_folder(path)
            layout = scan(path)
        except FileNotFoundError as error:
            raise InputError(f"There is no bundle at {path}: check the path.") from error
        except OSError as error:
            raise InputError(f"Cannot read {path} ({error.strerror}): check its permissions and the disk.") from error
        return cls(path, layout.manifest, layout.manifest_bytes, layout.size_bytes, layout.offsets)

    @classmethod
    def _open_folder(cls, folder: Path) -> "Bundle":
        if not (folder / MANIFEST).is_file():
            raise InputError(f"{folder} is no release folder (it has no {MANIFEST}): give an .ewb file or a release.")
        if (folder / MANIFEST).stat().st_size > MANIFEST_LIMIT_BYTES:
            raise BundleError(f"The manifest in {folder} is damaged: flash the bundle again.")
        raw = (folder / MANIFEST).read_bytes()
        manifest = parse_manifest(raw)
        return cls(folder, manifest, raw, len(raw) + sum(entry.size_bytes for entry in manifest.files), None)

    @property
    def id(self) -> str:
        """SHA-256 of manifest.json, which holds the SHA-256 of all else."""
        return sha256_hex(self.manifest_bytes)

    def read(self, path: str) -> bytes:
        """One file's content, verified. Raises BundleError."""
        return b"".join(self._verified(self._entry(path)))

    def verify(self) -> None:
        """Hash every file. Raises BundleError."""
        for entry in self.manifest.files:
            for _ in self._verified(entry):
                pass

    def model_path_or_bytes(self, variant: Variant) -> Union[Path, bytes]:
        """The variant's flatbuffer, verified: its path in a release (an engine maps it), its bytes in an .ewb."""
        if self._offsets is not None:
            return self.read(variant.path)
        for _ in self._verified(self._entry(variant.path)):
            pass
        return self.path / variant.path

    def labels(self) -> Optional[list[str]]:
        """The classes' names in the order of the output, or None. Raises BundleError."""
        if self.manifest.labels is None:
            return None
        try:
            labels = json.loads(self.read(self.manifest.labels).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise self._malformed(self.manifest.labels) from error
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise self._malformed(self.manifest.labels)
        return labels

    def tokenizer(self) -> Optional["Tokenizer"]:
        """The tokenizer of a model that takes sentences, or None. Raises BundleError."""
        if self.manifest.tokenizer is None:
            return None
        from .text import Tokenizer

        try:
            return Tokenizer.from_json(self.read(self.manifest.tokenizer))
        except InputError as error:
            raise self._malformed(self.manifest.tokenizer) from error

    def task(self) -> Optional["Task"]:
        """What the model is for, or None where the converter was not told. Raises BundleError."""
        if self.manifest.task is None:
            return None
        from .task import parse_task

        try:
            return parse_task(self.read(self.manifest.task))
        except InputError as error:
            raise self._malformed(self.manifest.task) from error

    def features(self) -> Optional["Features"]:
        """How recordings become what the model takes, or None where it takes none. Raises BundleError."""
        if self.manifest.features is None:
            return None
        from .audio.features import Features

        try:
            return Features.from_json(self.read(self.manifest.features))
        except InputError as error:
            raise self._malformed(self.manifest.features) from error

    def golden(self, encoder: bool = False) -> "tuple[list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]":
        """Sample inputs and the expected outputs, each (samples, *tensor shape) in the tensor's dtype, in the order of
        the variant's tensors. encoder: those of the graph that reads a translation's source. Raises BundleError."""
        golden, variant = self.manifest.golden, self.manifest.variants[0]
        if encoder and self.manifest.encoder is not None:
            variant, golden = self.manifest.encoder
        inputs = [self._samples(path, spec) for path, spec in zip(golden.inputs, variant.inputs)]
        outputs = [self._samples(path, spec) for path, spec in zip(golden.outputs, variant.outputs)]
        if len({len(array) for array in [*inputs, *outputs]}) != 1 or len(inputs[0]) == 0:
            raise self._malformed(golden.inputs[0])
        return inputs, outputs

    def _samples(self, path: str, spec: TensorSpec) -> "np.ndarray[Any, Any]":
        from io import BytesIO

        import numpy as np

        try:
            raw = self.read(path)
            if path.endswith(PACKED):
                raw = _unpack(raw)
            array = np.load(BytesIO(raw), allow_pickle=False)
        except BundleError:
            raise
        except Exception as error:  # as in border.load_arrays
            raise self._malformed(path) from error
        if not isinstance(array, np.ndarray) or array.shape[1:] != spec.shape or array.dtype.name != spec.dtype:
            raise self._malformed(path)
        return array

    def extract(self, folder: Path, only: Optional[Collection[str]] = None) -> dict[str, Path]:
        """Write the files into ``folder`` each under its SHA-256, verified; returns the paths by SHA-256.

        only: the SHA-256 to write, all by default. Raises BundleError, StorageError.
        """
        with storage_errors(f"write to {folder}"):
            make_folder(folder)
        written = {}
        for entry in self.manifest.files:
            if (only is None or entry.sha256 in only) and entry.sha256 not in written:
                written[entry.sha256] = folder / entry.sha256
                with replacing(folder / entry.sha256) as out:
                    for chunk in self._verified(entry):
                        out.write(chunk)
        return written

    def _entry(self, path: str) -> FileEntry:
        try:
            return self._entries[path]
        except KeyError:
            raise BundleError(f"The bundle holds no {path}: convert the model again.") from None

    def _verified(self, entry: FileEntry) -> Iterator[bytes]:
        """The file in small pieces; BundleError after the last one where they are not what the manifest promises."""
        digest = new_sha256(entry.size_bytes)
        try:
            with self._open_entry(entry) as file:
                for chunk in read_chunks(file, entry.size_bytes):
                    digest.update(chunk)
                    yield chunk
                too_long = self._offsets is None and file.read(1)
        except OSError as error:
            raise BundleError(f"Cannot read {entry.path} in {self.path} ({error.strerror}): copy it again.") from error
        if too_long or digest.hexdigest() != entry.sha256:
            raise BundleError(f"{entry.path} in {self.path} is damaged: copy or flash the bundle again.")

    def _open_entry(self, entry: FileEntry) -> IO[bytes]:
        if self._offsets is None:
            return (self.path / entry.path).open("rb")
        file = self.path.open("rb")
        file.seek(self._offsets[entry.path])
        return file

    def _malformed(self, path: str) -> BundleError:
        return BundleError(f"{path} in {self.path} is not what the manifest promises: convert the model again.")


def _unpack(raw: bytes) -> bytes:
    """Raises zlib.error where it is no stream, or ValueError where it swells beyond all samples."""
    from zlib import decompressobj

    stream = decompressobj()
    content = stream.decompress(raw, _UNPACKED_BYTES)
    if not stream.eof:
        raise ValueError
    return content
