"""Where a serial device is: ``serial:///dev/ttyUSB0?baud=115200&user=pi``, or any other URL that pyserial opens."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ..errors import InputError

SCHEMES = ("serial", "rfc2217", "socket", "hwgrep", "spy", "alt", "cp2110")
DEFAULT_BAUD, DEFAULT_MAX_BAUD = 115_200, 921_600
DEFAULT_HOME = PurePosixPath(".edgewright")
_OURS = ("baud", "max_baud", "user", "home")
_EXAMPLE = "write serial:///dev/ttyUSB0?baud=115200, with &user=NAME where somebody has to log in"


@dataclass(frozen=True)
class SerialAddress:
    """port: as pyserial takes it; baud: the console's; max_baud: the most to try for large files; user: who logs in,
    where the console asks; home: edgewright's folder there, if relative below the folder in which a login starts."""

    port: str
    baud: int = DEFAULT_BAUD
    max_baud: int = DEFAULT_MAX_BAUD
    user: str | None = None
    home: PurePosixPath = DEFAULT_HOME

    @classmethod
    def parse(cls, uri: str) -> "SerialAddress":
        """``serial:///dev/serial/by-id/…?user=pi``, ``rfc2217://10.0.0.7:4000?baud=9600``, ``socket://10.0.0.7:4001``.

        Raises InputError, which never repeats a password.
        """
        try:
            parts = urlsplit(uri)
            password = parts.password
        except ValueError as error:
            raise InputError(f"This is no serial device's URI ({error}): {_EXAMPLE}.") from None
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if password is not None or "password" in options:
            raise InputError(
                "A URI must not hold a password: leave it out, and edgewright asks for it or finds it in the system's "
                "keyring (`keyring set edgewright USER@NAME`)."
            )
        own = {name: options.pop(name) for name in _OURS if name in options}
        if parts.scheme == "serial":
            if parts.netloc or not parts.path.startswith("/") or options or parts.fragment:
                raise InputError(f"{uri!r} is no serial device's URI: {_EXAMPLE}.")
            port = unquote(parts.path)
        else:
            port = parts._replace(query=urlencode(options).replace("=&", "&").removesuffix("=")).geturl()
        user = own.get("user") or None
        if user is not None and (user.startswith("-") or not user.isprintable() or not user.isascii() or " " in user):
            raise InputError(f"{user!r} is no user's name: {_EXAMPLE}.")
        baud = _baud(own.get("baud", str(DEFAULT_BAUD)))
        max_baud = max(baud, _baud(own.get("max_baud", str(DEFAULT_MAX_BAUD))))
        return cls(port, baud, max_baud, user, PurePosixPath(own.get("home") or DEFAULT_HOME))

    @property
    def uri(self) -> str:
        """What ``parse`` reads."""
        own = {"baud": self.baud, "max_baud": self.max_baud, "user": self.user, "home": self.home}
        default = SerialAddress(self.port, max_baud=max(self.baud, DEFAULT_MAX_BAUD))
        changed = {name: value for name, value in own.items() if value != getattr(default, name)}
        base = self.port if "://" in self.port else f"serial://{quote(self.port)}"
        query = urlencode(changed, quote_via=quote, safe="/")
        return base + (("&" if "?" in base else "?") + query if query else "")

    def __str__(self) -> str:
        return self.port


def _baud(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 50 <= int(text) <= 4_000_000:
        raise InputError(f"{text!r} is no speed of a serial line: give its baud rate, usually 115200.")
    return int(text)
