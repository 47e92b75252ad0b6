"""A recipe: what is done to a model, in which order, for which target and within which budget.

    name = "kitchen"
    target = "rpi4"                # optional; --target goes before it

    [[passes]]
    use = "quantize"
    mode = "int8"

    [budget]
    latency_ms = 20

Read and checked without TensorFlow: a mistake is told with its file and line, at once.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from edgewright_runtime.errors import InputError
from edgewright_runtime.manifest import NAME

from .errors import RecipeError
from .passes import PASSES, Pass
from .passes.base import ModelPass
from .passes.order import refusal
from .passes.quantize import Quantize
from .targets import get_target


@dataclasses.dataclass(frozen=True)
class Budgets:
    """Limits that the device must keep (latency_ms, memory_mb) and that the conversion must keep: size_bytes of the
    flatbuffer; accuracy_drop, in points of 100: a pass after which the model is further below the one that was given is
    taken back, and a flatbuffer that is, is refused.
    """

    latency_ms: float | None = None
    memory_mb: float | None = None
    size_bytes: int | None = None
    accuracy_drop: float | None = None

    def __post_init__(self) -> None:
        for key, value in dataclasses.asdict(self).items():
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{key} must be greater than 0, not {value!r}")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """name: letters, digits, ``._-``; passes: in the order in which they run; raises RecipeError on a contradiction."""

    name: str
    passes: tuple[Pass, ...] = ()
    target: str | None = None
    budget: Budgets = Budgets()

    def __post_init__(self) -> None:
        if not NAME.match(self.name):
            raise RecipeError(
                f"Recipe name {self.name!r} is not usable: expected up to 64 letters, digits, '.', '_', '-'."
            )
        if self.target is not None:
            get_target(self.target)
        for index, earlier in enumerate(self.passes):
            for later in self.passes[index + 1 :]:
                if later.use not in earlier.before:
                    raise RecipeError(refusal(earlier.use, later.use, earlier.before))

    @property
    def quantize(self) -> Quantize:
        """How the numbers are stored: float32 where no pass says otherwise."""
        return next((p for p in self.passes if isinstance(p, Quantize)), Quantize("float32"))

    @property
    def model_passes(self) -> tuple[ModelPass, ...]:
        """The passes that change the Keras model, in their order."""
        return tuple(p for p in self.passes if not isinstance(p, Quantize))  # type: ignore[misc]

    @property
    def sparse(self) -> bool:
        """Whether weights are stored as sparse tensors: where a pass asks for it and the engine has a kernel."""
        return self.quantize.mode == "float32" and any(getattr(p, "sparse", False) for p in self.passes)

    @property
    def needs_data(self) -> bool:
        """Whether any pass has to see samples."""
        return any(p.needs_data for p in self.passes)

    def to_dict(self) -> dict[str, Any]:
        """The same shape as the TOML document."""
        document = dataclasses.asdict(self)
        document["passes"] = [{"use": p.use, **dataclasses.asdict(p)} for p in self.passes]
        return document

    @classmethod
    def load(cls, source: "str | Path | Recipe") -> "Recipe":
        """A Recipe, the name of a built-in recipe, or the path of a TOML file."""
        if isinstance(source, Recipe):
            return source
        if str(source) in builtin_recipes():
            text = resources.files(__package__).joinpath("recipes", f"{source}.toml").read_text("utf-8")
            return parse_recipe(text, f"recipe {source}")
        path = Path(source)
        if path.suffix != ".toml" and not path.is_file():
            near = difflib.get_close_matches(str(source), builtin_recipes(), n=1)
            hint = f"did you mean {near[0]!r}? Built in: " if near else "built in: "
            raise RecipeError(f"Unknown recipe {str(source)!r}: {hint}{', '.join(builtin_recipes())}; or a TOML file.")
        try:
            return parse_recipe(path.read_bytes().decode(), str(path))
        except OSError as error:
            raise InputError(f"Recipe file {path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise RecipeError(f"{path}: not UTF-8 text, as TOML must be.") from error


def builtin_recipes() -> tuple[str, ...]:
    """The names of the recipes that come with edgewright, sorted."""
    files = resources.files(__package__).joinpath("recipes").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def parse_recipe(text: str, where: str) -> Recipe:
    """Read TOML. where: the file, for messages. Raises RecipeError as "file:line: what is wrong"."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"{where}: not valid TOML: {error}.") from error
    place = _Place(where, text)
    passes = document.pop("passes", [])
    if not isinstance(passes, list) or not all(isinstance(entry, dict) for entry in passes):
        raise place.error("passes must be written as [[passes]] tables", "passes")
    built = []
    for index, entry in enumerate(passes):
        here = place.table("passes", index)
        use = entry.pop("use", None)
        if use not in PASSES:
            raise here.error(f"unknown pass {use!r}: known are {', '.join(PASSES)}", "use")
        built.append(_build(PASSES[use], entry, here))
    budget = document.pop("budget", {})
    if not isinstance(budget, dict):
        raise place.error("budget must be a [budget] table", "budget")
    budgets = _build(Budgets, budget, place.table("budget"))
    fields = {key: _typed(place, key, value, "str") for key, value in document.items() if key in ("name", "target")}
    _refuse_unknown(place, document, ("name", "target", "passes", "budget"))
    fields.setdefault("name", Path(where).stem)
    try:
        return Recipe(passes=tuple(built), budget=budgets, **fields)
    except RecipeError as error:
        key = next((key for key in ("target", "name") if repr(document.get(key)) in str(error)), "passes")
        raise place.error(str(error).rstrip("."), key) from error


def _build(kind: type[Any], entry: dict[str, Any], place: "_Place") -> Any:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    _refuse_unknown(place, entry, fields)
    missing = [
        f.name for f in fields.values() if f.default is f.default_factory is dataclasses.MISSING and f.name not in entry
    ]
    if missing:
        raise place.error(f"{missing[0]} is missing", "use")
    values = {key: _typed(place, key, value, str(_name(fields[key].type))) for key, value in entry.items()}
    try:
        return kind(**values)
    except ValueError as error:
        key = next((key for key in values if str(error).startswith(key)), "use")
        raise place.error(str(error), key) from error


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _refuse_unknown(place: "_Place", entry: dict[str, Any], known: Iterable[str]) -> None:
    known = tuple(known)
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise place.error(f"unknown key {key!r}: {hint}", key)


def _typed(place: "_Place", key: str, value: Any, kind: str) -> Any:
    kind = kind.removesuffix(" | None")
    if kind == "tuple[str, ...]":
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise place.error(f"{key} must be a list of strings, not {value!r}", key)
        return tuple(value)
    if kind.endswith("Mapping[str, str]"):
        if not isinstance(value, dict) or not all(isinstance(entry, str) for entry in value.values()):
            raise place.error(f'{key} must be a table of strings like {{ "dense_*" = "float32" }}, not {value!r}', key)
        return value
    accepted = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}[kind]
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind != "bool"):
        words = {"str": "a string", "int": "a whole number", "float": "a number", "bool": "true or false"}
        raise place.error(f"{key} must be {words[kind]}, not {value!r}", key)
    return value


@dataclasses.dataclass(frozen=True)
class _Place:
    """Finds the line of a key, which tomllib does not tell. first: line of the table's header, 0 for the top."""

    where: str
    text: str
    first: int = 0

    def table(self, name: str, index: int = 0) -> "_Place":
        headers = [n for n, line in enumerate(self.text.splitlines(), 1) if line.split("#")[0].strip(" []") == name]
        return dataclasses.replace(self, first=headers[index] if index < len(headers) else 0)

    def error(self, message: str, key: str) -> RecipeError:
        for number, line in enumerate(self.text.splitlines(), 1):
            found = line.split("=")[0].strip(" \t\"'[]")
            if number > self.first and (found == key or found.endswith(f".{key}")):
                break
        else:
            number = max(self.first, 1)
        return RecipeError(f"{self.where}:{number}: {message}" + ("" if message.endswith("?") else "."))
