"""Take a device into the inventory: an SSH device only together with the host key by which it is known from then on."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .devices import Device, add_device, list_devices, remove_device
from .errors import DeviceError, InputError
from .transports.ssh_address import SshAddress

if TYPE_CHECKING:
    from .emulator import EmulatedBoard


def enroll(
    device: Device, *, fingerprint: str | None = None, confirm: Callable[[str, str], bool] = lambda where, key: False
) -> None:
    """Add a device. fingerprint: ``SHA256:…`` of an SSH device's host key, where it is known beforehand; confirm:
    otherwise asked with the address and the fingerprint that the device shows.

    Raises InputError where the name is taken, TransportError where the device cannot be reached or shows another key,
    DeviceError where the key is not confirmed; then nothing is changed.
    """
    if not device.uri.startswith("ssh:"):
        if fingerprint is not None:
            raise InputError(f"{device.uri} has no host key: leave out --fingerprint.")
        add_device(device)
        return
    from .transports.host_keys import HostKeys
    from .transports.ssh_connect import fetch_host_key

    address = SshAddress.parse(device.uri)
    pinned = HostKeys().find(address)
    key = fetch_host_key(address, fingerprint or (pinned.fingerprint if pinned else None))
    known = key.fingerprint in (fingerprint, pinned.fingerprint if pinned else None)
    if not known and not confirm(str(address), key.fingerprint):
        raise DeviceError(f"The host key of {address} was not confirmed: nothing was added.")
    add_device(device)
    HostKeys().pin(address, key)


def dismiss(name: str) -> None:
    """Take a device out of the inventory, and forget its host key unless another device is at that address.

    Raises DeviceError where there is no such device.
    """
    removed = remove_device(name)
    if removed.uri.startswith("ssh:"):
        from .transports.host_keys import HostKeys

        address = SshAddress.parse(removed.uri)
        others = [SshAddress.parse(device.uri) for device in list_devices() if device.uri.startswith("ssh:")]
        if (address.host, address.port) not in [(other.host, other.port) for other in others]:
            HostKeys().forget(address)


def enroll_board(board: "EmulatedBoard") -> Device:
    """Register a running emulated board as an ordinary SSH device of its name; its port may have changed.

    Raises InputError where the name belongs to another device.
    """
    device = Device(board.name, f"ssh://{board.user}@{board.ssh_host}:{board.ssh_port}", str(board.identity_file))
    known = next((known for known in list_devices() if known.name == board.name), None)
    if known is not None and known.identity == device.identity and known != device:
        dismiss(board.name)
    enroll(device, fingerprint=board.host_key_fingerprint)
    return device
