"""The serial transport on pseudo-terminals, with a real shell at the other end."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import unit.sdk.test_transports as contract
from e2e.serial_line import SerialLine, serial_line, shell_on

from edgewright.transports.serial import SerialTransport
from edgewright.transports.serial_address import SerialAddress

pytestmark = pytest.mark.serial

# Every test of the contract, with the fixture ``transport`` of this file.
globals().update(
    {
        name: test
        for name, test in vars(contract).items()
        if name.startswith("test_") and "transport" in inspect.signature(test).parameters
    }
)


@pytest.fixture
def line() -> Iterator[SerialLine]:
    with serial_line() as running:
        yield running


@pytest.fixture
def transport(line: SerialLine, tmp_path: Path) -> Iterator[SerialTransport]:
    with shell_on(line, tmp_path):
        opened = SerialTransport(SerialAddress(str(line.port), home=tmp_path / "device"), silence_s=10)
        yield opened
        opened.close()
