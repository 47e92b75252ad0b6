"""``edgewright device console``, and the list of serial ports that ``device add`` shows."""

import sys

import click

from .common import complete_devices


def show_ports(name: str) -> None:
    """On stdout the ports, on stderr what to do with them."""
    from edgewright.transports.serial_ports import find_ports

    ports = find_ports()
    for port in ports:
        click.echo(f"{port.path}\t{port.hardware}\t{port.answer}")
    if ports:
        click.echo(f"\nAdd one: edgewright device add {name} '{ports[0].uri}?user=USER'", err=True)
    else:
        click.echo("There are no serial ports on this machine: plug the cable in, then look again.", err=True)


@click.command(epilog="Example: edgewright device console attic")
@click.argument("name", shell_complete=complete_devices)
def console(name: str) -> None:
    """Open a terminal on a serial device's console. Ctrl-] ends it, Ctrl-T Ctrl-H shows what else it knows."""
    from edgewright.devices import find_device
    from edgewright.errors import InputError
    from edgewright.transports.serial_address import SCHEMES, SerialAddress
    from edgewright.transports.serial_terminal import terminal

    found = find_device(name)
    if found.uri.partition(":")[0] not in SCHEMES:
        raise InputError(f"{name} is {found.uri}, which has no serial console: name a device with a serial:// URI.")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("A console needs a terminal here: do not redirect its input or output.")
    address = SerialAddress.parse(found.uri)
    click.echo(f"{address} at {address.baud} baud. Ctrl-] ends this.", err=True)
    terminal(address)
