"""``edgewright device``: the inventory, and what makes a device ready."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import complete_devices, complete_targets, json_option, print_json, progress_bar, stdout
from .emulate import emulate
from .serial import console, show_ports

if TYPE_CHECKING:
    from edgewright.probe import Probe

# What an engine's kernels use of a processor: half precision, dot products, matrices.
_FEATURES = {
    *("asimd", "asimddp", "asimdhp", "bf16", "i8mm", "neon", "sve", "vfpv4"),
    *("amx_int8", "avx", "avx2", "avx512_vnni", "avx512f", "avx_vnni", "f16c", "fma", "sse4_1"),
}

_name = click.argument("name", shell_complete=complete_devices)


@click.group()
def device() -> None:
    """Name devices, set them up, look at them."""


device.add_command(console)
device.add_command(emulate)


@device.command(
    epilog="Examples:\n\n\b\n"
    "edgewright device add attic local:\n"
    "edgewright device add kitchen ssh://pi@kitchen.local\n"
    "edgewright device add hall ssh://pi@10.0.0.7:2222 --identity ~/.ssh/hall --fingerprint SHA256:…\n"
    "edgewright device add attic serial:///dev/ttyUSB0?user=pi\n"
    "edgewright device add"
)
@click.argument("name", required=False)
@click.argument("uri", required=False)
@click.option("--identity", metavar="FILE", help="The private key that logs in. Default: the agent, ~/.ssh/config.")
@click.option("--fingerprint", metavar="SHA256:…", help="The SSH host key's fingerprint: pinned without a question.")
def add(name: str | None, uri: str | None, identity: str | None, fingerprint: str | None) -> None:
    """Call the device at URI NAME from now on. Without URI, show the serial ports and what answers there.

    URI is local:, local:/path/to/a/folder, ssh://user@host:port, serial:///dev/ttyUSB0?baud=115200&user=pi, or another
    URL that pyserial opens (rfc2217://, socket://). To show the ports, Enter is pressed on each. An SSH device is known
    by its host key from then on: compare the fingerprint with what `ssh-keygen -lf
    /etc/ssh/ssh_host_ed25519_key.pub` says on the device itself.
    """
    from edgewright.devices import Device
    from edgewright.enroll import enroll

    if name is None or uri is None:
        show_ports(name or "NAME")
        return
    identity = None if identity is None else str(Path(identity).expanduser().absolute())
    enroll(Device(name, uri, identity), fingerprint=fingerprint, confirm=_confirm)
    click.echo(f"{name} is {uri}. Next: edgewright device setup {name}", err=True)


def _confirm(where: str, fingerprint: str) -> bool:
    click.echo(f"{where} shows the host key {fingerprint}.", err=True)
    if not sys.stdin.isatty():
        raise click.UsageError(f"Nobody is here to confirm it: give --fingerprint {fingerprint} if it is right.")
    return click.confirm("Is that the device's?", err=True)


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


@device.command(epilog="Example: edgewright device probe kitchen -o kitchen.toml")
@_name
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write a profile for --target: a .toml file.")
@json_option
def probe(name: str, output: Path | None, as_json: bool) -> None:
    """Look at a device before anything is installed there, and tell which engine fits it."""
    from edgewright.engines import choose, missing_numpy
    from edgewright.errors import DeviceError
    from edgewright.probe import probe as look
    from edgewright.profiles import target_of
    from edgewright_converter.profile import write_profile

    if output is not None and output.suffix != ".toml":
        raise click.BadParameter(f"{output} does not end in .toml, as a profile for --target does.", param_hint="-o")
    found = look(name)
    if output is not None:
        write_profile(target_of(name, found), output)
        click.echo(f"Wrote {output}.", err=True)
    try:
        choice = choose(name, found)
        problem = missing_numpy(name, choice)
    except DeviceError as error:
        choice, problem = None, str(error)
    if as_json:
        fits = choice and {"engine": choice.engine, "requirements": choice.requirements, "python": choice.python.path}
        print_json(
            "device-probe", device=name, architecture=found.architecture, **asdict(found), fits=fits, problem=problem
        )
        return
    for what, value in _readable(found):
        click.echo(f"{what:<14}{value}")
    if choice:
        click.echo(f"fits          {' with '.join(choice.requirements)}")
    click.echo("\n" + (problem or f"Next: edgewright device setup {name}"), err=True)


@device.command(epilog="Examples:\n\n\b\nedgewright device targets\nedgewright device targets rpi4 > my-board.toml")
@click.argument("name", required=False, shell_complete=complete_targets)
@json_option
def targets(name: str | None, as_json: bool) -> None:
    """List the targets that boards have, or show one as a profile, with the source of each fact."""
    from edgewright_converter.profile import format_profile
    from edgewright_converter.targets import TARGETS, get_target

    if name is not None:
        chosen = get_target(name)
        if as_json:
            print_json("device-target", **asdict(chosen))
        else:
            click.echo(format_profile(chosen), nl=False)
        return
    if as_json:
        print_json("device-targets", targets=[asdict(target) for target in TARGETS.values()])
        return
    from .tables import targets_table

    stdout().print(targets_table(TARGETS.values()))


@device.command(epilog="Example: edgewright device setup kitchen --engine tflite")
@_name
@click.option("--engine", default="auto", show_default=True, help="litert, tflite, or auto: what fits the device.")
@click.option("--python", metavar="PATH", help="The interpreter there. Default: the first that an engine fits.")
@click.option("--online", is_flag=True, help="Let the device's own pip install, in a virtual environment.")
@json_option
def setup(name: str, engine: str, python: str | None, online: bool, as_json: bool) -> None:
    """Install an engine and the runtime on a device. Safe to repeat.

    The device needs Python 3.9 or later and nothing else: no network, no pip, no compiler, no root.
    """
    from edgewright.provision import setup as set_up

    with progress_bar() as progress:
        report = set_up(name, engine=engine, python=python, online=online, progress=progress)
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
    from edgewright.devices import find_device
    from edgewright.enroll import dismiss
    from edgewright.provision import purge as delete_all

    found = find_device(name)
    if purge:
        delete_all(found)
    dismiss(name)


def _readable(found: "Probe") -> Iterator[tuple[str, str]]:
    """Lines for a person. What the device does not tell is unknown."""

    def scaled(value: float | None, unit: float, form: str) -> str:
        return "unknown" if value is None else form.format(value / unit)

    yield "model", found.model or "unknown"
    yield "system", f"{found.system or 'unknown'}, kernel {found.kernel or 'unknown'}"
    kernel = "" if found.architecture == found.machine else f", on a kernel for {found.machine}"
    yield "architecture", (found.architecture or "unknown") + kernel
    yield "C library", found.libc or "unknown"
    yield "processor", f"{found.cpu or 'unknown'}, cores: {found.cores or 'unknown'}"
    if found.cpu_features is not None:
        yield "features", " ".join(sorted(_FEATURES.intersection(found.cpu_features))) or "none that an engine uses"
    governor = f", governor {found.governor}" if found.governor else ""
    yield "frequency", scaled(found.frequency_hz, 1e6, "{:.0f} MHz") + governor
    yield "temperature", scaled(found.temperature_c, 1, "{:.1f} °C")
    if found.throttled is not None:
        yield "power", ", ".join(found.throttled) or "good"
    free = scaled(found.memory_free_bytes, 1e9, "{:.2f} GB")
    if found.edgetpu is not None:
        yield "Edge TPU", {"usb": "on USB", "pcie": "on PCIe"}[found.edgetpu]
    yield "memory", scaled(found.memory_bytes, 1e9, "{:.2f} GB") + f", free: {free}"
    yield "storage", "free: " + scaled(found.storage_free_bytes, 1e9, "{:.1f} GB")
    for python in found.pythons:
        packages = ", ".join(f"{name} {version}" for name, version in python.packages.items())
        yield "Python", f"{python.version} at {python.path}" + (f" with {packages}" if packages else "")
    if not found.pythons:
        yield "Python", "none found"
    yield "installed", ", ".join(f"{name} {version}" for name, version in (found.engines or {}).items()) or "nothing"


def _print_facts(title: str, facts: dict[str, Any]) -> None:
    click.echo(title)
    for key, value in facts.items():
        if value is not None:
            click.echo(f"  {key}: {value}")
