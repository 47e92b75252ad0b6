"""``edgewright compare``: a gate against regressions."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from .common import json_option, judge, print_json, stdout


class Percent(click.ParamType[Any]):
    """``5%`` or ``0.05``, as a fraction."""

    name = "percent"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            text = str(value).strip()
            fraction = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            self.fail(f"{value!r} is no number: give 5% or 0.05.", param, ctx)
        if not 0 <= fraction < 100:
            self.fail(f"{value!r} is out of range: give a limit from 0% on.", param, ctx)
        return fraction


@click.command(
    short_help="Compare old bench results with new ones.",
    epilog="Example: edgewright compare old.json new.json --fail-above 5%",
)
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--fail-above", type=Percent(), help="Exit code 9 where latency, size or memory grew by more.")
@click.option("--fail-accuracy-drop", type=Percent(), help="Exit code 9 where accuracy fell by more points.")
@json_option
def compare(old: Path, new: Path, fail_above: float | None, fail_accuracy_drop: float | None, as_json: bool) -> None:
    """What has changed between OLD and NEW results, model by model. With a limit, a gate for continuous integration."""
    from edgewright.gate import changes, missing, require_no_failure
    from edgewright.report import load
    from edgewright.steadiness import warnings

    before, after = load([old]), load([new])
    found = changes(before, after, fail_above=fail_above, fail_accuracy_drop=fail_accuracy_drop)
    if as_json:
        print_json("compare", changes=[asdict(change) for change in found])
    else:
        from .tables import changes_table

        stdout().print(changes_table(found))
    gone = [f"{model} is not in the new results." for model in missing(before, after)]
    for warning in dict.fromkeys([*gone, *warnings(before), *warnings(after)]):
        click.echo(f"Warning: {warning}", err=True)
    judge(lambda: require_no_failure(found), as_json)
