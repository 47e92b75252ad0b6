"""A device's refusal to write, as an error of ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from edgewright_runtime.errors import storage_errors

from ..errors import StorageError


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn the OSErrors that a device reports into a StorageError."""
    try:
        with storage_errors(what):
            yield
    except OSError as error:
        raise StorageError(f"Cannot {what} ({error.strerror}): see whether something is in the way there.") from error
