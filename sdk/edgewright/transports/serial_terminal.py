"""An interactive terminal on a console: pyserial's miniterm, with what a Linux console expects."""

from serial.tools.miniterm import Miniterm

from .serial_address import SerialAddress
from .serial_port import Port


def terminal(address: SerialAddress) -> None:
    """Until Ctrl-]. Raises TransportError where the port cannot be opened."""
    port = Port(address)
    try:
        # Enter is CR alone, and what comes is shown as it is: the console draws for the terminal that it is shown on.
        shown = Miniterm(port.raw, eol="cr", filters=["direct"])
        shown.raw = True
        shown.exit_character, shown.menu_character = "\x1d", "\x14"
        shown.set_rx_encoding("UTF-8")
        shown.set_tx_encoding("UTF-8")
        shown.start()
        try:
            shown.join(True)
        finally:
            shown.console.cleanup()
            shown.stop()
            shown.join()
    finally:
        port.close()
