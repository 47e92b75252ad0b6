"""``edgewright device``: the inventory, and what makes a device ready."""

from dataclasses import asdict
from typing import Any

import click

from .common import complete_devices, json_option, print_json, progress_bar, stdout

_name = click.argument("name", shell_complete=complete_devices)


@click.group()
def device() -> None:
    """Name devices, set them up, look at them."""


@device.command(epilog="Example: edgewright device add kitchen local:")
@click.argument("name")
@click.argument("uri")
def add(name: str, uri: str) -> None:
    """Call the device at URI NAME from now on. URI: local: or local:/path/to/a/folder."""
    from edgewright.devices import Device, add_device

    add_device(Device(name, uri))
    click.echo(f"{name} is {uri}. Next: edgewright device setup {name}", err=True)


@device.command("list", epilog="Example: edgewright device list --json")
@json_option
def list_(as_json: bool) -> None:
    """Show the names of all devices."""
    from edgewright.devices import list_devices

    devices = list_devices()
    if as_json:
        print_json("device-list", devices=[asdict(device) for device in devices])
        return
    for found in devices:
        click.echo(f"{found.name}\t{found.uri}")
    if not devices:
        click.echo("There are no devices yet. Add one: edgewright device add kitchen local:", err=True)


@device.command(epilog="Example: edgewright device show kitchen")
@_name
@json_option
def show(name: str, as_json: bool) -> None:
    """Show what a device is, what is installed there, and its models."""
    from edgewright.remote import connect

    with connect(name) as remote:
        info = remote.call("info", "--home", remote.home)
    if as_json:
        facts = {key: value for key, value in info.items() if key not in ("schema", "kind")}
        print_json("device-show", device=name, **facts)
        return
    console = stdout()
    for title, facts in (("Board", info["board"]), ("State", info["state"]), ("Engines", info["engines"])):
        _print_facts(title, facts)
    click.echo(f"Home\n  path: {info['home']['path']}\n  free: {info['home']['free_bytes'] / 1e9:.1f} GB\nModels")
    for model in info["home"]["models"]:
        console.print(f"  {model['name']}: {(model['current'] or 'none')[:12]}", markup=False)
    if not info["home"]["models"]:
        click.echo("  none")


@device.command(epilog="Example: edgewright device setup kitchen --engine tflite")
@_name
@click.option("--engine", default="auto", show_default=True, help="litert, tflite, or auto: what fits the device.")
@json_option
def setup(name: str, engine: str, as_json: bool) -> None:
    """Install an engine and the runtime on a device. Safe to repeat."""
    from edgewright.provision import setup as set_up

    with progress_bar() as progress:
        report = set_up(name, engine=engine, progress=progress)
    if as_json:
        print_json("device-setup", **asdict(report))
        return
    for change in report.changes:
        click.echo(f"{report.device}: {change}")
    if not report.changes:
        click.echo(f"{report.device}: nothing to do, {report.engine} on Python {report.python} works.")


@device.command(epilog="Example: edgewright device remove kitchen --purge")
@_name
@click.option("--purge", is_flag=True, help="Also delete what edgewright put on the device: environment and models.")
def remove(name: str, purge: bool) -> None:
    """Forget a device."""
    from edgewright.devices import find_device, remove_device
    from edgewright.provision import purge as delete_all

    found = find_device(name)
    if purge:
        delete_all(found)
    remove_device(name)


def _print_facts(title: str, facts: dict[str, Any]) -> None:
    click.echo(title)
    for key, value in facts.items():
        if value is not None:
            click.echo(f"  {key}: {value}")
