"""The keys by which edgewright knows its SSH devices: a file of its own, in OpenSSH's known_hosts format.

The user's own ~/.ssh/known_hosts stays out of it: a key is here because ``edgewright device add`` showed its
fingerprint and a human said yes, or gave the fingerprint beforehand.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

from edgewright_runtime.disk import replacing
from edgewright_runtime.errors import storage_errors

from ..devices import inventory_path
from ..errors import InputError
from .ssh_address import SSH_PORT, SshAddress


@dataclass(frozen=True)
class HostKey:
    """A device's public key. algorithm: e.g. "ssh-ed25519"; blob: as SSH sends it."""

    algorithm: str
    blob: bytes

    @classmethod
    def parse(cls, text: str) -> "HostKey":
        """From ``ssh-ed25519 AAAA…``. Raises ValueError."""
        algorithm, encoded = text.split()[:2]
        return cls(algorithm, base64.b64decode(encoded, validate=True))

    @property
    def fingerprint(self) -> str:
        """``SHA256:…``, as ``ssh-keygen -l`` prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.algorithm} {base64.b64encode(self.blob).decode()}"


class HostKeys:
    """One pinned key for each address. path: by default known_hosts beside the inventory of devices."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or inventory_path().with_name("known_hosts")

    def find(self, address: SshAddress) -> HostKey | None:
        """Raises InputError where the file is malformed."""
        for number, line in enumerate(self._lines(), 1):
            if line.split(" ", 1)[0] == _pattern(address):
                try:
                    return HostKey.parse(line.split(" ", 1)[1])
                except (ValueError, IndexError, binascii.Error):
                    raise InputError(
                        f"Line {number} of {self.path} is no host key: delete that line, and add the device again."
                    ) from None
        return None

    def pin(self, address: SshAddress, key: HostKey) -> None:
        """Trust this key, and no other, at this address. Raises StorageError."""
        self._write([*self._others(address), f"{_pattern(address)} {key}"])

    def forget(self, address: SshAddress) -> None:
        """Raises StorageError."""
        self._write(self._others(address))

    def _others(self, address: SshAddress) -> list[str]:
        return [line for line in self._lines() if line.split(" ", 1)[0] != _pattern(address)]

    def _lines(self) -> list[str]:
        try:
            return self.path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"Cannot read the host keys in {self.path} ({error}): correct or delete it.") from error

    def _write(self, lines: list[str]) -> None:
        with storage_errors(f"write {self.path}"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as out:
            out.write("".join(f"{line}\n" for line in lines).encode("utf-8"))


def _pattern(address: SshAddress) -> str:
    return address.host if address.port in (None, SSH_PORT) else f"[{address.host}]:{address.port}"
