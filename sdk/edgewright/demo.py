"""The main job, end to end: train an intent classifier, convert it three ways, flash, score and time it on a device."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgewright_runtime.errors import storage_errors
from edgewright_runtime.result import BenchResult

from .bench import bench
from .devices import Device
from .flash import flash
from .progress import Progress, part, silent
from .provision import setup
from .remote import Remote, connected
from .report import save

RECIPES = ("float32", "dynamic-int8", "int8")

# The share of the whole work that each part takes, as measured on two cores.
_TRAINED, _CONVERTED, _SET_UP, _FLASHED = 0.55, 0.8, 0.9, 0.92


@dataclass(frozen=True)
class Demo:
    """What the demo made. keras_accuracy: on the host, over the sentences that the device scored too."""

    language: str
    sizes: str
    parameters: int
    keras_accuracy: float
    device: str
    bundles: tuple[Path, ...]
    results: tuple[BenchResult, ...]
    report: Path


def demo(
    folder: Path,
    *,
    language: str = "en",
    device: str | Device | Remote | None = None,
    seed: int = 0,
    progress: Progress = silent,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Demo:
    """Run everything and leave it in ``folder``: model, data, bundles, results.json, report.html.

    device: by default a ``local:`` device inside of the folder. tell: called with a sentence after each part.
    Raises InputError for an unknown language, and all that ``convert``, ``setup``, ``flash`` and ``bench`` raise.
    """
    from edgewright_converter.language.data.intents import require_language
    from edgewright_converter.language.train import train_in_child
    from edgewright_converter.pipeline import convert

    require_language(language)
    folder = folder.absolute()
    with storage_errors(f"write into {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    with connected(device or Device("demo", f"local:{folder / 'device'}")) as remote:
        trained = train_in_child(language, folder, seed=seed, progress=part(progress, 0.0, _TRAINED))
        tell(f"{trained.sizes}.")
        tell(f"Trained {trained.parameters:,} parameters: accuracy {trained.accuracy:.4f} in Keras.")

        bundles = []
        for index, recipe in enumerate(RECIPES):
            share = (_CONVERTED - _TRAINED) / len(RECIPES)
            conversion = convert(
                trained.model,
                data=trained.data,
                recipe=recipe,
                output=folder / f"{recipe}.ewb",
                name=f"intents-{recipe}",
                labels=trained.labels,
                tokenizer=trained.tokenizer,
                seed=seed,
                progress=part(progress, _TRAINED + index * share, _TRAINED + (index + 1) * share, f"{recipe}: "),
            )
            bundles.append(conversion.path)
            tell(f"Converted {conversion.path.name}: differs from Keras by {conversion.difference:.1g}.")

        changes = setup(remote, progress=part(progress, _CONVERTED, _SET_UP)).changes
        tell(f"Set up {remote.name}: {'; '.join(changes) or 'nothing to change'}.")
        for index, bundle in enumerate(bundles):
            share = (_FLASHED - _SET_UP) / len(bundles)
            step = part(progress, _SET_UP + index * share, _SET_UP + (index + 1) * share, f"{bundle.name}: ")
            report = flash(bundle, remote, progress=step)
            tell(f"Flashed {report.name}: {report.sent_bytes:,} bytes sent, golden samples hold.")
        results = bench(bundles, remote, data=trained.test_sentences, progress=part(progress, _FLASHED, 1.0))
        save(folder / "results.json", results)
        save(folder / "report.html", results, title=f"Intents, {language}")
        return Demo(
            language=language,
            sizes=trained.sizes,
            parameters=trained.parameters,
            keras_accuracy=trained.accuracy,
            device=remote.name,
            bundles=tuple(bundles),
            results=tuple(results),
            report=folder / "report.html",
        )
