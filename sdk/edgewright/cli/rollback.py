"""``edgewright rollback``: back to the model before."""

import click

from .common import complete_devices, json_option
from .fleet import on_devices, show_outcomes


@click.command(
    short_help="Go back to a model's previous release.", epilog="Example: edgewright rollback intents kitchen hallway"
)
@click.argument("model")
@click.argument("devices", nargs=-1, required=True, shell_complete=complete_devices)
@click.option("--engine", default="auto", show_default=True, help="The engine to check it with: litert, tflite, auto.")
@json_option
def rollback(model: str, devices: tuple[str, ...], engine: str, as_json: bool) -> None:
    """Use the release of MODEL that was in use before on DEVICES; a second time, the later one again.

    It is verified and checked first, as when it was flashed. The exit code is that of the first device that failed.
    """
    from edgewright.rollback import RollbackReport
    from edgewright.rollback import rollback as roll_back

    outcomes = on_devices(devices, lambda remote, progress: roll_back(model, remote, engine=engine, progress=progress))

    def sentence(report: RollbackReport) -> str:
        return f"{report.name} {report.bundle_id[:12]} is in use, before {report.previous[:12]}"

    columns = {
        "in use": lambda report: f"{report.name} {report.bundle_id[:12]}",
        "before": lambda report: report.previous[:12],
    }
    show_outcomes("rollback", outcomes, as_json, sentence, columns)
