"""What a model in use was unsure of, kept on the device for the next training: off until it is asked for.

    HOME/feedback/<model>/settings.json     there as long as the log is on
    HOME/feedback/<model>/log.jsonl         what was noted last; log.1.jsonl before it

An entry is a line of JSON: at (UTC), bundle, guess, probability, and text only where texts were opted in to. The two
files together never exceed max_bytes: when one reaches half of it, it takes the other's place. A line that power cut
off is skipped. Who may read the device's folder may read the texts, nobody else: files are for their owner alone.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, Optional

from .disk import make_folder, replacing
from .errors import InputError, storage_errors
from .manifest import NAME

MAX_BYTES, LEAST_BYTES, MOST_BYTES = 256 << 10, 8 << 10, 16 << 20
BELOW = 0.5  # of models without a threshold
_TEXT_BYTES = 2048  # the end of longer texts is not kept
_SETTINGS, _LOG, _BEFORE = "settings.json", "log.jsonl", "log.1.jsonl"


class Settings(NamedTuple):
    """below: answers less probable are noted, None for the model's own threshold; texts: whether the texts are."""

    texts: bool = False
    below: Optional[float] = None
    max_bytes: int = MAX_BYTES


class Feedback:
    """The log of one model. Raises InputError for what is no model's name, StorageError where the disk refuses."""

    def __init__(self, home: Path, model: str) -> None:
        if not NAME.match(model):
            raise InputError(f"{model!r} is no name of a model: use letters, digits, dots, dashes and underscores.")
        self.model = model
        self.folder = home / "feedback" / model

    def turn_on(self, settings: Settings) -> None:
        """Raises InputError where a setting cannot be."""
        below, size = settings.below, settings.max_bytes
        if below is not None and not 0 < below <= 1:
            raise InputError(f"Uncertain is what is less probable than a number from 0 to 1, not {below:g}.")
        if not LEAST_BYTES <= size <= MOST_BYTES:
            raise InputError(f"A log takes {LEAST_BYTES >> 10} to {MOST_BYTES >> 10} KiB, not {size / 1024:g}.")
        with storage_errors(f"write to {self.folder}"):
            make_folder(self.folder)
            self.folder.chmod(0o700)
        with replacing(self.folder / _SETTINGS) as out:
            out.write(json.dumps(settings._asdict()).encode())

    def turn_off(self) -> None:
        """What was noted stays, until it is cleared. Raises InputError where it was never on."""
        if not self.folder.is_dir():
            raise InputError(f"The model {self.model} has no log on this device: there is nothing to turn off.")
        with storage_errors(f"write to {self.folder}"):
            (self.folder / _SETTINGS).unlink(missing_ok=True)

    def settings(self) -> Optional[Settings]:
        """None where the log is off; what cannot be read is off too, for it might say that texts are not wanted."""
        try:
            found = Settings(**json.loads((self.folder / _SETTINGS).read_bytes()))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        return found if type(found.texts) is bool and type(found.max_bytes) is int else None

    def note(self, bundle_id: str, text: str, guess: str, probability: float, threshold: Optional[float]) -> bool:
        """Note an answer if it is uncertain and the log is on; whether it was. A full disk costs the entry alone."""
        settings = self.settings()
        if settings is None:
            return False
        below = settings.below if settings.below is not None else BELOW if threshold is None else threshold
        if probability >= below:
            return False
        entry: dict[str, Any] = {
            "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "bundle": bundle_id[:12],
            "guess": guess,
            "probability": round(probability, 4),
        }
        if settings.texts:
            kept = text.encode("utf-8", "replace")[:_TEXT_BYTES]
            entry["text"] = kept.decode("utf-8", "ignore").replace("\0", " ")
        line = json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        if len(line) >= settings.max_bytes // 2:
            return False
        with suppress(OSError):
            self._append(line, settings.max_bytes // 2)
            return True
        return False

    def entries(self) -> list[dict[str, Any]]:
        """All that was noted, the oldest first; lines that cannot be read are left out."""
        found = []
        with self._locked() as there:
            for name in (_BEFORE, _LOG) if there else ():
                for line in _read(self.folder / name).splitlines():
                    try:
                        entry = json.loads(line)
                    except (ValueError, RecursionError):
                        continue
                    if isinstance(entry, dict) and {"at", "bundle", "guess", "probability"} <= set(entry):
                        found.append(entry)
        return found

    def clear(self) -> int:
        """Delete what was noted; the bytes that were."""
        with self._locked() as there, storage_errors(f"write to {self.folder}"):
            freed = self.size_bytes()
            for name in (_LOG, _BEFORE) if there else ():
                (self.folder / name).unlink(missing_ok=True)
            return freed

    def size_bytes(self) -> int:
        return sum((self.folder / name).stat().st_size for name in (_LOG, _BEFORE) if (self.folder / name).is_file())

    def status(self) -> dict[str, Any]:
        settings, entries = self.settings(), self.entries()
        return {
            "model": self.model,
            "on": settings is not None,
            **(settings or Settings())._asdict(),
            "entries": len(entries),
            "with_text": sum("text" in entry for entry in entries),
            "size_bytes": self.size_bytes(),
            "since": entries[0]["at"] if entries else None,
        }

    def _append(self, line: bytes, limit_bytes: int) -> None:
        with self._locked():
            log = self.folder / _LOG
            size_bytes = log.stat().st_size if log.exists() else 0
            if size_bytes and size_bytes + len(line) >= limit_bytes:
                log.replace(self.folder / _BEFORE)
                size_bytes = 0
            whole = not size_bytes or _ends_a_line(log)
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            try:
                os.write(descriptor, line if whole else b"\n" + line)
            finally:
                os.close(descriptor)

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """One process at a time; whether there is a log at all."""
        import fcntl

        try:
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            yield False
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield True
        finally:
            os.close(descriptor)


def models(home: Path) -> list[str]:
    """Those that have a log."""
    return sorted(path.name for path in (home / "feedback").glob("*") if NAME.match(path.name))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _ends_a_line(path: Path) -> bool:
    """Power may have cut off the last one."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
