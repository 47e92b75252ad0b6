"""``edgewright gc``: room on devices."""

import click

from .common import complete_devices, json_option
from .fleet import on_devices, show_outcomes


@click.command(short_help="Free what is in no use on devices.", epilog="Example: edgewright gc kitchen --dry-run")
@click.argument("devices", nargs=-1, required=True, shell_complete=complete_devices)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@json_option
def gc(devices: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Delete from DEVICES what neither the current nor the previous release of a model needs.

    That is older releases, content and data that only they had, and what interrupted commands have left. Files that
    arrived within the last ten minutes stay: they may be on their way into use.
    """
    from edgewright.gc import GcReport, collect_garbage

    outcomes = on_devices(devices, lambda remote, progress: collect_garbage(remote, dry_run=dry_run, progress=progress))

    def sentence(report: GcReport) -> str:
        fresh = f"; {report.fresh} stay for now, new or being measured" if report.fresh else ""
        verb = "would be freed" if report.dry_run else "freed"
        paths = "".join(f"\n  {path}" for path in report.removed) if report.dry_run else ""
        return f"{report.freed_bytes:,} bytes {verb}, {len(report.removed)} paths{fresh}{paths}"

    columns = {
        "would be freed" if dry_run else "freed": lambda report: f"{report.freed_bytes:,} bytes",
        "paths": lambda report: str(len(report.removed)),
        "new, kept": lambda report: str(report.fresh),
    }
    show_outcomes("gc", outcomes, as_json, sentence, columns)
