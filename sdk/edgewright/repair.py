"""``check --fix``: the same model converted again, for the target that the check was made for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from edgewright_converter.recipe import Recipe
from edgewright_converter.targets import option_for
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.hashing import hash_file

from .check import Report
from .errors import InputError
from .folders import temporary_folder
from .progress import Progress, silent


def repair(
    report: Report,
    *,
    source: str | None = None,
    data: Any = None,
    output: Path | None = None,
    progress: Progress = silent,
) -> Path:
    """Convert a checked bundle's source again; returns the new bundle's path.

    source: the model, which must be the very one that the bundle was made of; by default a file beside the bundle with
    the hash that the bundle names. output: default "<bundle>-<target>.ewb". Raises InputError where the source is not
    known, and what ``convert`` raises.
    """
    from edgewright_converter.pipeline import convert, hash_source

    if report.path.suffix != ".ewb" or any(finding.check == "integrity" for finding in report.findings):
        raise InputError(f"{report.path} says nothing of what it was made from: run `edgewright convert` on the model.")
    bundle = Bundle.open(report.path)
    provenance = bundle.manifest.provenance
    sha256 = str(provenance.get("source_sha256", ""))
    model = source or _beside(report.path, sha256)
    if hash_source(model) != sha256:
        raise InputError(
            f"{model} is not the model that {report.path} was made of: convert it with `edgewright convert`."
        )
    recipe = replace(_recipe(provenance), target=None)
    path = output or report.path.with_name(f"{report.path.stem}-{report.target.name}.ewb")
    with temporary_folder() as folder:
        extra: dict[str, Any] = {}
        for what in ("labels", "tokenizer", "task"):
            named = getattr(bundle.manifest, what)
            if named is not None:
                extra[what] = folder / f"{what}.json"
                extra[what].write_bytes(bundle.read(named))
        variant = bundle.manifest.variant()
        conversion = convert(
            model,
            data=data,
            recipe=recipe,
            target=option_for(report.target),
            output=path,
            name=bundle.manifest.name,
            batch=variant.inputs[0].shape[0] if variant.inputs[0].shape else 1,
            shapes={spec.name: spec.shape[1:] for spec in variant.inputs if spec.shape[1:]},
            seed=provenance.get("seed", 0),
            progress=progress,
            **extra,
        )
    return conversion.path


def _beside(bundle: Path, sha256: str) -> str:
    for path in sorted(bundle.parent.iterdir()):
        if path.suffix in (".keras", ".h5") and hash_file(path) == sha256:
            return str(path)
    raise InputError(
        f"The model that {bundle} was made of (SHA-256 {sha256[:12]}…) is not beside it: name it with --source."
    )


def _recipe(provenance: dict[str, Any]) -> Recipe:
    document = provenance.get("recipe")
    if not isinstance(document, dict):
        raise InputError("The bundle does not say by which recipe it was made: run `edgewright convert` on the model.")
    return Recipe.from_dict(document)
