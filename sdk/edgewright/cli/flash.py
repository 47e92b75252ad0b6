"""``edgewright flash``: a bundle onto devices."""

from dataclasses import asdict
from pathlib import Path

import click

from .common import complete_devices, json_option, print_json, progress_bar


@click.command(
    short_help="Put a bundle into use on devices.", epilog="Example: edgewright flash kitchen.ewb kitchen hallway"
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("devices", nargs=-1, required=True, shell_complete=complete_devices)
@click.option("--engine", default="auto", show_default=True, help="The engine to check it with: litert, tflite, auto.")
@json_option
def flash(bundle: Path, devices: tuple[str, ...], engine: str, as_json: bool) -> None:
    """Send BUNDLE to DEVICES, check it there, and use it from then on.

    A model that answers wrongly on a device, or exceeds its budget there, is not used: the one before stays.
    """
    from edgewright.flash import flash as send

    reports = []
    for device in devices:
        with progress_bar() as progress:
            report = send(bundle, device, engine=engine, progress=progress)
        reports.append(report)
        if not as_json:
            before = f", before {report.previous[:12]}" if report.previous not in (None, report.bundle_id) else ""
            click.echo(
                f"{report.device}: {report.name} {report.bundle_id[:12]} is in use{before} "
                f"({report.blobs_sent} files, {report.sent_bytes:,} bytes sent)"
            )
    if as_json:
        print_json("flash", reports=[asdict(report) for report in reports])
