"""The examples against what one would use instead: a linear model, a Kneser-Ney model; and what helps with little data.

    python benchmarks/language.py --folder CACHE [--tasks intents-eu spam …] [--curve]

Rows of classifiers: bytes of the bundle, accuracy in Keras and on the device (a process of its own in a folder of this
machine, which gets the texts and encodes them itself), of TF-IDF with a linear support vector machine trained on the
same texts, with 95 % intervals; and how many test texts' ids and answers differ between this process and the device.

--curve: Basque intents with 50, 200 and 1,000 training sentences, three draws each: the small model alone, augmented,
pre-trained on bare text, and distilled; each against the first, paired over the same test sentences. What does not help
is printed as such.

Finished rows are kept in the folder and not computed again. Exit code 1 where something does not hold.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

from run import FIGURES, Row, example
from tasks import TASKS

from edgewright_converter.language.metrics import Measure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for models, bundles, the device, finished rows")
    parser.add_argument("--tasks", nargs="*", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--curve", action="store_true", help="the low-resource curve, too")
    parser.add_argument("--draws", type=int, default=3, help="of the curve's training sentences")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rows = [_row(name, arguments.folder) for name in arguments.tasks]
    _print(rows)
    good = not any(row.failures for row in rows)
    if arguments.curve:
        from language_curve import curve

        curve(arguments.folder, draws=arguments.draws)
    return 0 if good else 1


def _row(name: str, folder: Path) -> Row:
    path = folder / f"{name}.row.json"
    if not path.is_file():
        row = example(TASKS[name], folder)
        path.write_text(json.dumps(asdict(row)))
        print(row, file=sys.stderr, flush=True)
    document = json.loads(path.read_text())
    return Row(**{key: Measure(**value) if isinstance(value, dict) else value for key, value in document.items()})


def _print(rows: list[Row]) -> None:
    for kind, figure in FIGURES.items():
        chosen = [row for row in rows if row.kind == kind]
        if not chosen:
            continue
        print(f"\n{kind}: {figure}")
        print(f"{'':<12} {'train':>7} {'test':>6} {'classes':>7} {'bytes':>8} {'Keras':>7} {'device':>7} {'':<18} "
              f"{'instead':>7} {'':<18} inputs, answers that differ")
        for row in chosen:
            keras = "" if row.keras is None else f"{row.keras.value:.4f}"
            print(
                f"{row.name:<12} {row.train:>7,} {row.test:>6,} {row.classes:>7} {row.bundle_bytes:>8,} {keras:>7} "
                f"{_interval(row.device)} {_interval(row.other)} {row.unequal_inputs}, {row.unequal_answers}"
            )
            if row.device_chrf is not None and row.other_chrf is not None:
                print(f"{'':<50} chrF {_interval(row.device_chrf)} {_interval(row.other_chrf)}")
            _print_failures(row)


def _print_failures(row: Row) -> None:
    for failure in row.failures:
        print(f"  DOES NOT HOLD: {failure}")


def _interval(measure: Measure) -> str:
    return f"{measure.value:>7.4f} [{measure.low:.4f}, {measure.high:.4f}]"


if __name__ == "__main__":
    sys.exit(main())
