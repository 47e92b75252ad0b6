"""Named devices and their URIs, kept in an inventory file.

The inventory is devices.toml in the user's configuration folder, or in $EDGEWRIGHT_CONFIG_HOME. A URI is ``local:``
(a folder in the user's data folder, or in $EDGEWRIGHT_DATA_HOME), ``local:/some/folder``, ``ssh://user@host:port``, or
``serial:///dev/ttyUSB0?user=pi`` and the other URLs of serial ports.
"""

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from edgewright_runtime.disk import replacing

from .errors import DeviceError, InputError
from .folders import make_folder, user_folder
from .transports import LocalTransport, Transport
from .transports.serial_address import SCHEMES as SERIAL_SCHEMES
from .transports.serial_address import SerialAddress
from .transports.ssh_address import SshAddress

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_URIS = "local:, local:/folder, ssh://user@host or serial:///dev/ttyUSB0"
_HEADER = "# edgewright's devices. Change them with `edgewright device add` and `edgewright device remove`.\n"


@dataclass(frozen=True)
class Device:
    """A device to flash and to measure on. name: letters, digits, - and _; uri: see the module's docstring;
    identity: the private key's file, for an SSH device whose key neither the agent nor ~/.ssh/config knows.

    A device that is not in the inventory goes by its URI. Raises InputError where the name or the URI is malformed,
    DeviceError where no transport knows the URI.
    """

    name: str
    uri: str
    identity: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.match(self.name) and self.name != self.uri:
            raise InputError(f"{self.name!r} is no name for a device: use up to 64 letters, digits, - and _.")
        scheme, colon, _ = self.uri.partition(":")
        if not colon or not self.uri.isprintable():
            raise InputError(f"{self.uri!r} is no device's URI: write {_URIS}.")
        if scheme not in _TRANSPORTS:
            raise DeviceError(f"No transport is called {scheme}: use {_URIS}.")
        if scheme == "ssh":
            SshAddress.parse(self.uri)
        if scheme in SERIAL_SCHEMES:
            SerialAddress.parse(self.uri)
        if self.identity is not None and (scheme != "ssh" or not self.identity.isprintable()):
            raise InputError(f"The identity file {self.identity!r} cannot be used: only SSH devices have one.")

    def open(self) -> Transport:
        """The way to the device; to be closed by the caller."""
        return _TRANSPORTS[self.uri.partition(":")[0]](self)


def _open_local(device: Device) -> Transport:
    folder = device.uri.partition(":")[2]
    if folder:
        return LocalTransport(Path(folder).expanduser())
    return LocalTransport(user_folder("EDGEWRIGHT_DATA_HOME", "user_data_dir") / "devices" / device.name.rstrip(":"))


def _open_ssh(device: Device) -> Transport:
    from .transports.ssh import SshTransport  # asyncssh takes its time

    identity = None if device.identity is None else Path(device.identity).expanduser()
    return SshTransport(SshAddress.parse(device.uri), name=device.name, identity=identity)


def _open_serial(device: Device) -> Transport:
    from .transports.serial import SerialTransport

    return SerialTransport(SerialAddress.parse(device.uri), name=device.name)


_TRANSPORTS: dict[str, Callable[[Device], Transport]] = {"local": _open_local, "ssh": _open_ssh}
_TRANSPORTS.update(dict.fromkeys(SERIAL_SCHEMES, _open_serial))


def list_devices() -> list[Device]:
    """The inventory, sorted by name. Raises InputError where its file is malformed."""
    try:
        entries = tomllib.loads(inventory_path().read_text("utf-8")).get("devices", {})
        return [Device(name, entry["uri"], entry.get("identity")) for name, entry in sorted(entries.items())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"Cannot read the inventory {inventory_path()} ({error}): correct or delete it.") from error


def find_device(name_or_uri: str) -> Device:
    """A device of the inventory, or an unnamed one given by its URI. Raises DeviceError."""
    devices = {device.name: device for device in list_devices()}
    if name_or_uri in devices:
        return devices[name_or_uri]
    if ":" in name_or_uri:  # not in any name
        return Device(name_or_uri, name_or_uri)
    close = get_close_matches(name_or_uri, devices, n=1)
    if close:
        remedy = f"did you mean {close[0]}?"
    elif devices:
        remedy = f"there are {', '.join(devices)}; add one with `edgewright device add`."
    else:
        remedy = f"there are none yet: add one with `edgewright device add {name_or_uri} local:`."
    raise DeviceError(f"No device is called {name_or_uri}: {remedy}")


def add_device(device: Device) -> None:
    """Raises InputError where the name is taken by another URI, StorageError where the inventory cannot be written."""
    devices = {known.name: known for known in list_devices()}
    known = devices.setdefault(device.name, device)
    if known != device:
        raise InputError(
            f"{device.name} is {known.uri} already: remove it with `edgewright device remove {device.name}` "
            "or choose another name."
        )
    _write([*devices.values()])


def remove_device(name: str) -> Device:
    """Take a device out of the inventory; what is on it stays. Raises DeviceError."""
    device = find_device(name)
    _write([known for known in list_devices() if known.name != name])
    return device


def inventory_path() -> Path:
    """Where the inventory is, or would be."""
    return user_folder("EDGEWRIGHT_CONFIG_HOME", "user_config_dir") / "devices.toml"


def _write(devices: list[Device]) -> None:
    path = inventory_path()
    make_folder(path.parent)
    with replacing(path) as out:
        out.write((_HEADER + "".join(sorted(map(_entry, devices)))).encode("utf-8"))


def _entry(device: Device) -> str:
    # A JSON string is a TOML string too, as long as nothing outside ASCII is escaped and no control character is in it.
    fields = {"uri": device.uri, "identity": device.identity}
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items() if value is not None]
    return f"\n[devices.{device.name}]\n" + "".join(lines)
