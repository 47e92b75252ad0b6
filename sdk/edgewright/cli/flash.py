"""``edgewright flash``: a bundle onto devices."""

from pathlib import Path

import click

from .common import complete_devices, json_option
from .fleet import on_devices, show_outcomes


@click.command(
    short_help="Put a bundle into use on devices.", epilog="Example: edgewright flash kitchen.ewb kitchen hallway"
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("devices", nargs=-1, required=True, shell_complete=complete_devices)
@click.option("--engine", default="auto", show_default=True, help="To check it with: litert, tflite, edgetpu, auto.")
@click.option("--check/--no-check", default=True, help="Have the doctor look at it before anything is sent.")
@json_option
def flash(bundle: Path, devices: tuple[str, ...], engine: str, check: bool, as_json: bool) -> None:
    """Send BUNDLE to DEVICES, check it there, and use it from then on.

    Only what a device lacks is sent. A model that answers wrongly on a device, or exceeds its budget there, is not
    used: the one before stays. Several devices are flashed side by side; the exit code is that of the first that
    failed.
    """
    from edgewright.flash import FlashReport, parcel
    from edgewright.flash import flash as send

    with parcel(bundle) as packed:
        outcomes = on_devices(
            devices, lambda remote, progress: send(packed, remote, engine=engine, check=check, progress=progress)
        )
    for outcome in outcomes:
        for warning in outcome.result.warnings if outcome.result is not None else ():
            click.echo(f"Warning: {outcome.device}: {warning}", err=True)

    def before(report: FlashReport) -> str:
        return "unchanged" if report.previous == report.bundle_id else (report.previous or "none")[:12]

    def sentence(report: FlashReport) -> str:
        changed = f", before {before(report)}" if report.previous not in (None, report.bundle_id) else ""
        sent = f"{report.blobs_sent} files, {report.sent_bytes:,} bytes sent"
        return f"{report.name} {report.bundle_id[:12]} is in use{changed} ({sent})"

    columns = {
        "in use": lambda report: f"{report.name} {report.bundle_id[:12]}",
        "before": before,
        "files sent": lambda report: str(report.blobs_sent),
        "bytes sent": lambda report: f"{report.sent_bytes:,}",
        "seconds": lambda report: f"{report.seconds:.1f}",
    }
    show_outcomes("flash", outcomes, as_json, sentence, columns)
