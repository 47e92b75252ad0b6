"""What a training leaves beside the model, and where it keeps its state until then."""

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError, storage_errors

from ...data import Array


def companion(model: Path, suffix: str) -> Path:
    """``<stem>.<suffix>`` in the model's folder: kitchen.keras → kitchen.tokenizer.json."""
    return model.with_name(f"{model.stem}.{suffix}")


class StateFolder:
    """Holds the trainings' states (passes/checkpoint.py) while they run, and the key of what they are about."""

    def __init__(self, model: Path, key: str, resume: bool, worker: int = 0) -> None:
        """worker: of several, each with a state of its own. Raises InputError where the state is another training's."""
        self.path = companion(model, f"training-{worker}" if worker else "training")
        with storage_errors(f"write the training's state into {self.path}"):
            known = (self.path / "key").read_text("utf-8") if (self.path / "key").is_file() else None
            if resume and known is not None and known != key:
                raise InputError(
                    f"The training whose state is in {self.path} had other data or settings: give the same, or leave "
                    "--resume out to begin anew."
                )
            self.resumed = resume and known is not None
            if not self.resumed:
                shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / "key").write_text(key, "utf-8")

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def write(model: Any, path: Path, files: Mapping[str, bytes], arrays: Mapping[str, Array], record: Any) -> None:
    """The model and what belongs to it: each file whole or as it was, the model last. Raises StorageError."""
    contents = {**files, "train.json": json.dumps(record, ensure_ascii=False, indent=2).encode("utf-8") + b"\n"}
    if arrays:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        contents["data.npz"] = buffer.getvalue()
    parts = []
    with storage_errors(f"write {path} and what belongs to it"):
        try:
            for suffix, content in contents.items():
                final = companion(path, suffix)
                parts.append((final.with_name(f".{final.name}.part"), final))
                parts[-1][0].write_bytes(content)
            parts.append((path.with_name(f".{path.stem}.part.keras"), path))
            model.save(parts[-1][0])
            for part, final in parts:
                part.replace(final)
        finally:
            for part, _ in parts:
                part.unlink(missing_ok=True)
