"""States at the end of prompts, kept on the device's disk: a prompt that comes again costs no step of the model.

A file is named by the SHA-256 of the bundle, the engine and the tokens, so it is never found for another one. The
folder is bounded; the file that was not used for longest goes first.
"""

from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ..disk import make_folder, replacing
from ..errors import storage_errors
from .stepper import Saved

LIMIT_BYTES = 32_000_000


class Prompts:
    """folder: of any number of models; model: what tells them apart, and the engine with its version."""

    def __init__(self, folder: Path, model: str, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._model = model
        self._limit_bytes = limit_bytes

    def find(self, ids: list[int]) -> Optional[Saved]:
        """The state after the longest beginning of these tokens that was kept, or None."""
        for place in reversed(list(self._places(ids))):
            if place.exists():
                saved = _load(place)
                if saved is not None:
                    with suppress(OSError):
                        place.touch()
                    return saved
        return None

    def keep(self, ids: list[int], saved: Saved) -> None:
        """Raises StorageError where the folder cannot be written."""
        *_, place = self._places(ids)
        out = BytesIO()
        assert saved.scores is not None
        arrays: dict[str, Any] = {f"state.{name}": array for name, array in saved.arrays.items()}
        np.savez(out, scores=saved.scores, **arrays)
        with storage_errors(f"keep the prompt in {self._folder}"):
            make_folder(self._folder)
            with replacing(place) as file:
                file.write(out.getvalue())
            self._forget()

    def _places(self, ids: list[int]) -> Iterator[Path]:
        """The file for each beginning, the shortest first."""
        digest = sha256(self._model.encode() + b"\0")
        for count, index in enumerate(ids, 1):
            digest.update(index.to_bytes(4, "little"))
            yield self._folder / f"{digest.hexdigest()}.{count}.npz"

    def _forget(self) -> None:
        files = sorted(((f.stat().st_mtime_ns, f.stat().st_size, f) for f in self._folder.glob("*.npz")), reverse=True)
        total = 0
        for _, size, file in files:
            total += size
            if total > self._limit_bytes:
                file.unlink()


def _load(place: Path) -> Optional[Saved]:
    """None where the file is damaged, which costs no more than computing it again."""
    try:
        with np.load(place, allow_pickle=False) as archive:
            arrays = {name[6:]: archive[name] for name in archive.files if name.startswith("state.")}
            return Saved(int(place.name.split(".")[1]), archive["scores"], arrays)
    except Exception:  # as in border.load_arrays: whatever numpy's parser meets
        with suppress(OSError):
            place.unlink()
        return None
