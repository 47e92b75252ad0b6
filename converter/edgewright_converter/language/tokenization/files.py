"""A tokenizer from its file."""

from pathlib import Path

from edgewright_runtime.errors import InputError
from edgewright_runtime.text import Tokenizer


def read_tokenizer(path: Path) -> Tokenizer:
    """Raises InputError where it is missing or none."""
    try:
        return Tokenizer.from_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"The tokenizer {path} cannot be read: {error.strerror}.") from error
