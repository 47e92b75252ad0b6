"""The model that a training begins with, where there is one: its tokenizer, its architecture, its weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgewright_runtime.errors import InputError
from edgewright_runtime.text import Tokenizer

from ..tokenization import read_tokenizer
from ..zoo import build
from .files import companion
from .settings import Settings
from .transfer import copy_weights, weighted, with_new_heads


@dataclass(frozen=True)
class Backbone:
    """file: a Keras model, None without a backbone. architecture: what ``build`` needs to make it, {} where it is not
    of the zoo. tokenizer: the one beside the file, None without a backbone.
    """

    file: Path | None
    architecture: Mapping[str, Any]
    tokenizer: Tokenizer | None

    @classmethod
    def of(cls, settings: Settings) -> "Backbone":
        """Raises InputError for a file that is missing, or a tokenizer that is to be another."""
        if settings.backbone is None:
            return cls(None, {}, None)
        file = Path(settings.backbone)
        if not file.is_file():
            raise InputError(f"The backbone {file} does not exist: expected a .keras file.")
        beside = companion(file, "tokenizer.json")
        own = settings.tokenizer if (settings.tokenizer or "").endswith(".json") else None
        if own is None and not beside.is_file():
            raise InputError(
                f"The backbone {file} has no tokenizer beside it ({beside.name}), and its ids mean nothing without: "
                "give it with --tokenizer FILE.json."
            )
        tokenizer = read_tokenizer(Path(own) if own else beside)
        record = companion(file, "train.json")
        try:
            architecture = json.loads(record.read_bytes())["architecture"] if record.is_file() else {}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{record} is not what a training writes: remove it to take the body as it is.") from error
        return cls(file, architecture, tokenizer)

    def complete(self, settings: Settings) -> Settings:
        """The settings with the backbone's architecture where none is asked for."""
        if not self.architecture or settings.model not in (None, self.architecture["model"]):
            return settings
        own = self.architecture
        return replace(
            settings,
            model=own["model"],
            width=own["width"] if settings.width is None else settings.width,
            depth=own["depth"] if settings.depth is None else settings.depth,
            options={**_body_options(own["options"]), **settings.options},
            length=own["length"] if settings.length is None else settings.length,
        )

    def model(
        self, settings: Settings, vocabulary: int, length: int, heads: Mapping[str, int], options: Mapping[str, Any]
    ) -> tuple[Any, tuple[str, ...]]:
        """The model to train, and the layers whose weights come from the backbone."""
        if self.file is None or settings.model is not None:
            model = build(
                settings.model or "text-cnn",
                vocabulary=vocabulary,
                length=length,
                heads=heads,
                width=settings.width,
                depth=settings.depth,
                **options,
            )
            if self.file is None:
                return model, ()
            came = copy_weights(self._load(), model).layers
            if not came:
                raise InputError(
                    f"No layer of the backbone {self.file} has the name and shapes of one of the {settings.model}'s: "
                    "give the same model, width and depth, or leave --model out."
                )
            return model, came
        body = self._load()
        model = with_new_heads(body, heads, length, float(options.get("dropout", 0.1)))
        own = {id(layer) for layer in weighted(body)}
        return model, tuple(layer.name for layer in weighted(model) if id(layer) in own)

    def _load(self) -> Any:
        from ...load import load_model

        return load_model(str(self.file), trust=False)


def _body_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Not those that made it a model of the next token."""
    return {name: value for name, value in options.items() if name not in ("answers", "causal", "activation")}
