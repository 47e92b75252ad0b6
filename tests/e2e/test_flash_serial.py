"""Flashing over a serial line that breaks: the old model or the new, and the next try goes on where this one ended."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath

import pytest
from e2e.serial_line import SerialLine, serial_line, shell_on
from e2e.test_flash_ssh import _bundle, _id_in_use
from unit.models import tiny_bundle

from edgewright.errors import TransportError
from edgewright.flash import FlashReport, flash
from edgewright.remote import Remote
from edgewright.transports import LocalTransport
from edgewright.transports.serial import SerialTransport
from edgewright.transports.serial_address import SerialAddress
from edgewright_runtime.bundle import Bundle

pytestmark = pytest.mark.serial

SILENCE_S = 2.0


@pytest.fixture
def line(tmp_path: Path) -> Iterator[SerialLine]:
    with serial_line() as running, shell_on(running, tmp_path):
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    Remote("device", LocalTransport(tmp_path / "device"), sys.executable).install_runtime()
    return tmp_path / "device"


def _flash(bundle: Path, line: SerialLine, home: Path, cut_after: int | None = None) -> FlashReport:
    """On a connection of its own, whose line is cut when so many more bytes have gone to the device."""
    address = SerialAddress(str(line.port), max_baud=115_200, home=PurePosixPath(home))
    with closing(SerialTransport(address, silence_s=SILENCE_S)) as transport:
        line.passed, line.cut_after = 0, cut_after
        try:
            return flash(bundle, Remote("attic", transport, sys.executable))
        finally:
            line.cut_after = None


@pytest.mark.parametrize("cut_after", [300, 10_000, 40_000, 600_000, 1_380_000])
def test_a_line_that_breaks_leaves_the_old_model_and_the_next_flash_goes_on(
    line: SerialLine, home: Path, tmp_path: Path, cut_after: int
) -> None:
    old = tiny_bundle(tmp_path / "old.ewb", name="model")
    _flash(old, line, home)
    new = _bundle(tmp_path / "new.ewb")
    with pytest.raises(TransportError):
        _flash(new, line, home, cut_after)
    assert _id_in_use(home) == Bundle.open(old).id
    whole = new.stat().st_size
    _flash(new, line, home)
    assert _id_in_use(home) == Bundle.open(new).id
    assert line.passed < 1.05 * whole - max(0, cut_after - 100_000) + 40_000


def test_many_cuts_one_after_the_other_end_with_the_new_model(line: SerialLine, home: Path, tmp_path: Path) -> None:
    """Each time a bit more arrives, by a user who only ever repeats the command."""
    new, tries = _bundle(tmp_path / "new.ewb"), 0
    while True:
        tries += 1
        assert tries < 15
        try:
            _flash(new, line, home, cut_after=250_000)
            break
        except TransportError:
            continue
    assert tries > 3
    assert _id_in_use(home) == Bundle.open(new).id
