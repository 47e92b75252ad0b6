"""The doctor: what will go wrong with this file on that board, told before anything is sent.

The converter's doctor looks into the flatbuffer; here are the bundle around it, the engine's wheels, and the latency
to expect from earlier results.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgewright_converter.doctor import ERROR, NOTE, SEVERITIES, WARNING, Finding, examine, worst_first
from edgewright_converter.flatbuffer import Flatbuffer, read
from edgewright_converter.targets import Target, get_target
from edgewright_runtime.archive import MANIFEST
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.manifest import TensorSpec, Variant
from edgewright_runtime.text import Tokenizer

from .devices import Device
from .engines import ENGINES, NUMPY_MACHINES, obstacle
from .errors import BundleError, EdgewrightError, InputError
from .history import estimate
from .probe import probe
from .profiles import target_of
from .remote import Remote, connected


@dataclass(frozen=True)
class Report:
    """What was found in a file for a target, the worst first."""

    path: Path
    target: Target
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == ERROR)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        counts = {f"{kind}s": sum(finding.severity == kind for finding in self.findings) for kind in SEVERITIES}
        return {
            "path": str(self.path),
            "target": self.target.name,
            "engine": self.target.engine,
            "runs": not self.errors,
            **counts,
            "findings": [finding.to_dict() for finding in self.findings],
        }


def check(
    path: str | Path,
    *,
    target: str | Target | None = None,
    device: str | Device | Remote | None = None,
    engine: str = "auto",
) -> Report:
    """Examine an .ewb, a release folder or a .tflite for a target, or for a device as it is now.

    target: a name, a profile's .toml or a Target; by default what the bundle was converted for. engine: to check a
    device's other engine. What is wrong with the file is a finding; InputError is raised where there is no file to
    read, RecipeError for an unknown target, DeviceError where the device cannot be reached.
    """
    path = Path(path)
    if target is not None and device is not None:
        raise InputError("A check is for a target or for a device: give one of them.")
    if engine != "auto" and engine not in ENGINES:
        raise InputError(f"No engine is called {engine}: choose one of auto, {', '.join(ENGINES)}.")
    chosen = target if isinstance(target, Target) else get_target(target) if target is not None else None
    if device is not None:
        with connected(device) as remote:
            chosen = target_of(remote.name, probe(remote), engine=engine)
    elif chosen is not None and engine != "auto":
        chosen = replace(chosen, engine=engine)
    bundle, content, findings = _open(path)
    if chosen is None:
        chosen = _made_for(bundle)
    if bundle is not None:
        findings += examine_bundle(bundle, chosen)
    elif content is not None:
        findings += examine(content, chosen)
        findings += _latency(content, None, chosen)
    return Report(path, chosen, tuple(worst_first([*findings, *wheels(chosen)])))


def examine_bundle(bundle: Bundle, target: Target) -> list[Finding]:
    """Its flatbuffer on that target, and whether the manifest tells the truth about it."""
    try:
        bundle.verify()
        variant = _variant(bundle, target)
        content = bundle.read(variant.path)
        bundle.golden()
        labels = bundle.labels()
        tokenizer = bundle.tokenizer()
    except EdgewrightError as error:
        return [_integrity(error)]
    found = examine(content, target)
    if any(finding.check == "integrity" for finding in found):
        return found
    flatbuffer = read(content)
    found += _manifest(variant, flatbuffer)
    if labels is not None and len(variant.outputs) == 1 and variant.outputs[0].shape[-1:] != (len(labels),):
        problem = f"there are {len(labels)} labels for an output of {list(variant.outputs[0].shape)}"
        found.append(Finding(WARNING, "bundle", "labels", problem, "convert again with the right --labels"))
    if tokenizer is not None:
        found += _tokenizer(tokenizer, variant)
    if bundle.manifest.encoder is not None:
        found += _encoder(bundle, bundle.manifest.encoder.variant, target)
    limit = bundle.manifest.budget.memory_mb
    note = next((finding for finding in found if finding.check == "memory"), None)
    if limit is not None and note is not None and float(note.problem.split()[1]) > limit:
        problem = f"{note.problem}, and the bundle's budget is {limit:g} MB"
        found.append(Finding(WARNING, "budget", "memory", problem, "use a smaller model, or raise the budget"))
    return found + _latency(content, bundle, target)


def _encoder(bundle: Bundle, variant: Variant, target: Target) -> list[Finding]:
    """The graph that reads a translation's source."""
    content = bundle.read(variant.path)
    found = [replace(finding, where=f"{variant.path}, {finding.where}") for finding in examine(content, target)]
    whole = all(finding.check != "integrity" for finding in found)
    return [*found, *_manifest(variant, read(content))] if whole else found


def _tokenizer(tokenizer: Tokenizer, variant: Variant) -> list[Finding]:
    """What makes ids of texts, and whether the model takes so many. A model of one token at a time takes any length."""
    length = variant.inputs[0].shape[-1:]
    if length not in ((1,), (tokenizer.max_length,)):
        problem = f"it gives {tokenizer.max_length} ids, the model takes {list(variant.inputs[0].shape)}"
        return [Finding(ERROR, "bundle", "tokenizer", problem, "convert again with the tokenizer of the training")]
    return [Finding(NOTE, "bundle", "tokenizer", tokenizer.describe())]


def wheels(target: Target) -> list[Finding]:
    """Has the target's engine a package for its Python, its C library and its processor?"""
    if target.python is None or target.glibc is None:
        return []
    package = ENGINES[target.engine]
    facts: dict[str, Any] = {"machine": target.machine, "libc": f"glibc {target.glibc}", "python": target.python}
    reason = obstacle(package, **facts)
    place = target.board or target.name
    if reason is not None:
        others = [name for name, other in ENGINES.items() if obstacle(other, **facts) is None]
        first, last = (f"{major}.{minor}" for major, minor in package.pythons)
        remedy = (
            f"use the engine {others[0]}" if others else f"install Python {first} to {last} there, or a 64-bit system"
        )
        problem = (
            f"{package.requirement} {reason}; it has Python {target.python} on {target.machine}, glibc {target.glibc}"
        )
        return [Finding(ERROR, "wheels", place, problem, remedy)]
    if target.machine not in NUMPY_MACHINES:
        remedy = "`sudo apt-get install python3-numpy` there, or `edgewright device setup NAME --online`"
        return [Finding(NOTE, "wheels", place, f"there are no wheels of numpy for {target.machine}", remedy)]
    return []


def _open(path: Path) -> tuple[Bundle | None, bytes | None, list[Finding]]:
    """A bundle or a bare file's bytes; a bundle that cannot be opened is a finding."""
    if path.is_dir() and not (path / MANIFEST).is_file():
        raise InputError(f"{path} is a folder without {MANIFEST}: give an .ewb or a .tflite file.")
    try:
        if not path.is_dir() and path.suffix != ".ewb":
            return None, path.read_bytes(), []
        return Bundle.open(path), None, []
    except OSError as error:
        raise InputError(f"Cannot read {path} ({error.strerror}): check the path.") from error
    except BundleError as error:
        return None, None, [_integrity(error)]


def _made_for(bundle: Bundle | None) -> Target:
    """What it was converted for; "local" where nothing says."""
    name = bundle.manifest.provenance.get("target") if bundle is not None else None
    try:
        return get_target(name) if isinstance(name, str) else get_target("local")
    except EdgewrightError:
        return get_target("local")  # it was made for a profile that is not here


def _variant(bundle: Bundle, target: Target) -> Variant:
    layouts = [variant.layout for variant in bundle.manifest.variants]
    return bundle.manifest.variant("edgetpu" if target.edgetpu and "edgetpu" in layouts else "cpu")


def _manifest(variant: Variant, flatbuffer: Flatbuffer) -> list[Finding]:
    found = []
    ends = (("input", variant.inputs, flatbuffer.inputs), ("output", variant.outputs, flatbuffer.outputs))
    for title, described, there in ends:
        said = [_described(spec) for spec in described]
        real = [f"{name} {tensor.dtype}{list(tensor.shape)}" for name, tensor in there]
        if variant.layout == "edgetpu":  # the compiler drops the signature, and with it the names
            said, real = ([entry.partition(" ")[2] for entry in entries] for entries in (said, real))
        if sorted(said) != sorted(real):
            problem = f"the manifest says {title} {', '.join(said)}, the model has {', '.join(real)}"
            found.append(Finding(ERROR, "bundle", variant.path, problem, "convert the model again"))
    return found


def _described(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.dtype}{list(spec.shape)}"


def _integrity(error: EdgewrightError) -> Finding:
    problem, _, remedy = str(error).rstrip(".").rpartition(": ")
    return Finding(ERROR, "integrity", "the bundle", problem or str(error), remedy if problem else "")


def _latency(content: bytes, bundle: Bundle | None, target: Target) -> list[Finding]:
    try:
        guess = estimate(read(content), bundle.id if bundle else None, target)
    except InputError:
        return []
    if guess is None:
        return []
    span = (
        f"{guess.low_ms:.3g} ms"
        if guess.results == 1 and guess.measured
        else f"{guess.low_ms:.3g} to {guess.high_ms:.3g} ms"
    )
    origin = "as measured there" if guess.measured else f"estimated from {guess.results} results of other models there"
    limit = bundle.manifest.budget.latency_ms if bundle is not None else None
    if limit is not None and guess.low_ms > limit:
        problem = f"the median will be {span} ({origin}), the budget is {limit:g} ms"
        return [Finding(WARNING, "latency", "latency", problem, "use a smaller model, or int8, or raise the budget")]
    return [Finding(NOTE, "latency", "latency", f"the median will be {span} ({origin})")]
