"""Where an SSH device is: ``ssh://user@host:port/home``, of which only the host must be given."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from ..errors import InputError

DEFAULT_HOME = PurePosixPath(".edgewright")
SSH_PORT = 22
_LOGIN_FOLDER = "/~/"
_HOST = re.compile(r"[\w.:][\w.:%-]*\Z")  # a name, IPv4, or IPv6 with its zone; a dash in front would be an option


@dataclass(frozen=True)
class SshAddress:
    """user, port: None for what ~/.ssh/config or SSH itself says. home: edgewright's folder; if relative, below the
    folder in which a login starts."""

    host: str
    user: str | None = None
    port: int | None = None
    home: PurePosixPath = DEFAULT_HOME

    @classmethod
    def parse(cls, uri: str) -> "SshAddress":
        """``ssh://pi@kitchen.local``, ``ssh://[fe80::1%eth0]:2222/srv/edgewright``, ``ssh://pi@kitchen/~/below/login``.

        Raises InputError, which never repeats a password.
        """
        try:
            parts = urlsplit(uri)
            host, user, port = unquote(_host(parts.netloc)), unquote(parts.username or ""), parts.port
        except ValueError as error:
            raise InputError(f"This is no SSH device's URI ({error}): write ssh://user@host:port.") from None
        if parts.password is not None:
            raise InputError(
                f"A URI must not hold a password: write ssh://{user}@{host}, and let a key log in "
                f"(`ssh-copy-id {user}@{host}` installs yours)."
            )
        if parts.scheme != "ssh" or not _HOST.match(host) or user.startswith("-") or parts.query or parts.fragment:
            raise InputError(
                f"{uri!r} is no SSH device's URI: write ssh://user@host:port or ssh://user@host/home/folder."
            )
        home = unquote(parts.path).removeprefix(_LOGIN_FOLDER).rstrip("/")
        return cls(host, user or None, port, PurePosixPath(home) if home else DEFAULT_HOME)

    @property
    def uri(self) -> str:
        """What ``parse`` reads."""
        if self.home == DEFAULT_HOME:
            return f"ssh://{self}"
        return f"ssh://{self}{'' if self.home.is_absolute() else _LOGIN_FOLDER}{quote(str(self.home))}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")


def _host(netloc: str) -> str:
    """As it is written: urlsplit's own is in lower case, and a name in ~/.ssh/config may not be."""
    host = netloc.rpartition("@")[2]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
