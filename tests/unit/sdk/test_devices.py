from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewright.devices import Device, add_device, find_device, inventory_path, list_devices, remove_device
from edgewright.errors import DeviceError, EdgewrightError, InputError, StorageError


def test_devices_come_back_sorted() -> None:
    assert list_devices() == []
    add_device(Device("kitchen", "local:"))
    add_device(Device("attic", 'local:/srv/ü \\"attic"'))
    assert list_devices() == [Device("attic", 'local:/srv/ü \\"attic"'), Device("kitchen", "local:")]
    assert remove_device("attic").uri.startswith("local:/srv")
    assert list_devices() == [Device("kitchen", "local:")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40))
def test_any_uri_is_kept_or_refused(text: str) -> None:
    try:
        device = Device("any", f"local:{text}")
    except InputError:
        return
    inventory_path().unlink(missing_ok=True)
    add_device(device)
    assert list_devices() == [device]


def test_adding_twice_is_no_error_but_another_uri_is() -> None:
    add_device(Device("kitchen", "local:"))
    add_device(Device("kitchen", "local:"))
    with pytest.raises(InputError, match="kitchen is local: already: remove it with"):
        add_device(Device("kitchen", "local:/elsewhere"))
    assert list_devices() == [Device("kitchen", "local:")]


def test_an_identity_is_kept_and_goes_with_ssh_alone() -> None:
    kitchen = Device("kitchen", "ssh://pi@kitchen.local:2222", '/keys/ü "k"')
    add_device(kitchen)
    assert list_devices() == [kitchen]
    with pytest.raises(InputError, match="only SSH devices"):
        Device("attic", "local:", "/keys/k")


@pytest.mark.parametrize("name", ["", "a b", "-a", "../a", "a.b", "x" * 65, "ü", "a\n"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InputError, match="no name for a device"):
        Device(name, "local:")


@pytest.mark.parametrize(
    ("uri", "error", "sentence"),
    [
        ("kitchen", InputError, "no device's URI"),
        ("local:/a\nb", InputError, "no device's URI"),
        ("ssh://", InputError, "no SSH device's URI"),
        ("ssh://pi:secret@kitchen", InputError, "must not hold a password"),
        ("usb:///dev/ttyUSB0", DeviceError, "No transport is called usb"),
        ("http://kitchen", DeviceError, "No transport is called http"),
    ],
)
def test_uris_that_lead_nowhere(uri: str, error: type[EdgewrightError], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        Device("kitchen", uri)


def test_an_unknown_device_is_told_with_the_nearest_name() -> None:
    with pytest.raises(DeviceError, match="there are none yet: add one with `edgewright device add kitchen local:`"):
        find_device("kitchen")
    add_device(Device("kitchen", "local:"))
    with pytest.raises(DeviceError, match=r"No device is called kitchn: did you mean kitchen\?"):
        find_device("kitchn")
    with pytest.raises(DeviceError, match="there are kitchen"):
        find_device("zzz")


def test_a_uri_is_a_device_too(tmp_path: Path) -> None:
    assert find_device("local:/somewhere").open().home.as_posix() == "/somewhere"
    assert find_device("local:").open().home.as_posix() == str(tmp_path / "data" / "devices" / "local")
    assert Device("kitchen", "local:").open().home.as_posix() == str(tmp_path / "data" / "devices" / "kitchen")


@pytest.mark.parametrize("content", [b"devices = 3", b"[devices]\nkitchen = 1", b"[devices.kitchen]\n", b"\xff", b"[["])
def test_a_damaged_inventory_is_told_and_kept(content: bytes) -> None:
    inventory_path().parent.mkdir(parents=True)
    inventory_path().write_bytes(content)
    with pytest.raises(InputError, match="Cannot read the inventory"):
        add_device(Device("kitchen", "local:"))
    assert inventory_path().read_bytes() == content


def test_an_inventory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file where the folder should be")
    with pytest.raises((StorageError, InputError), match="config"):
        add_device(Device("kitchen", "local:"))
