"""Low-rank adapters (LoRA, Hu et al. 2021) on a pre-trained Keras model: train them, keep several, switch, merge.

    adapters = Adapters.attach(model, rank=4)
    model.compile(...); model.fit(...)             # trains the adapters alone
    adapters.save("kitchen.npz")                   # a few kilobytes; the base is not in it
    adapters.load("garage.npz", name="garage")     # trained on the same base
    adapters.switch("garage"); adapters.switch("")   # "": the base alone
    adapters.merge()                               # into the kernels: the model is an ordinary one again

Keras' own ``enable_lora`` adds A and B to Dense, EinsumDense (with that, to attention), Embedding and convolutions.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError, storage_errors
from edgewright_runtime.hashing import sha256_hex

from .data import Array
from .errors import ModelError
from .outcome import Skipped

_META = "adapters.json"


@dataclass
class Adapters:
    """On one live model. active: the name of the set that the model computes with, "" for none. Use `attach`."""

    model: Any
    rank: int
    alpha: float
    skipped: tuple[Skipped, ...] = ()
    active: str = ""
    _layers: dict[str, Any] = field(default_factory=dict)  # by the path of the kernel
    _frozen: list[Any] = field(default_factory=list)  # variables, and layers whose moving averages must stand still
    _sets: dict[str, dict[str, Array]] = field(default_factory=dict)

    @classmethod
    def attach(
        cls,
        model: Any,
        *,
        rank: int = 4,
        alpha: float | None = None,
        targets: Sequence[str] = ("*",),
        name: str = "default",
        seed: int = 0,
    ) -> "Adapters":
        """Add adapters to every layer whose path matches a pattern of ``targets``, and freeze all else.

        rank: of A·B; alpha: A·B counts alpha / rank, by default 1; name: of the set that trains first. Until trained
        the model answers as before, for B is zero. Raises ModelError where no layer takes adapters.
        """
        import keras

        adapters = cls(model, rank, float(alpha if alpha is not None else rank))
        skipped = []
        generator = keras.random.SeedGenerator(seed)
        for layer in model._flatten_layers():
            kernel = _kernel(layer)
            if kernel is None or not any(fnmatchcase(kernel.path, p) or fnmatchcase(layer.name, p) for p in targets):
                if kernel is None and any(len(v.shape) > 1 for v in getattr(layer, "_trainable_variables", ())):
                    skipped.append(Skipped(layer.name, f"a {type(layer).__name__} takes no adapters"))
                continue
            try:
                first = keras.initializers.HeUniform(seed=generator)
                layer.enable_lora(rank, lora_alpha=adapters.alpha, a_initializer=first)
            except (ValueError, NotImplementedError) as error:
                skipped.append(Skipped(layer.name, str(error).strip().splitlines()[0]))
                continue
            adapters._layers[kernel.path] = layer
        if not adapters._layers:
            raise ModelError(
                "No layer takes adapters: they go onto Dense, EinsumDense, attention, Embedding and convolutions."
            )
        adapters.skipped = tuple(skipped)
        own = {id(v) for layer in adapters._layers.values() for v in _pair(layer)}
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
                layer.trainable = False
                adapters._frozen.append(layer)
        for variable in model.trainable_variables:
            if id(variable) not in own:
                variable.trainable = False
                adapters._frozen.append(variable)
        adapters._frozen += [_kernel(layer) for layer in adapters._layers.values()]
        adapters.active = name
        adapters._forget_functions()
        return adapters

    @property
    def parameters(self) -> int:
        """How many numbers one set has."""
        return sum(int(np.prod(v.shape)) for layer in self._layers.values() for v in _pair(layer))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({*self._sets, self.active} - {""}))

    def switch(self, name: str) -> None:
        """Compute with that set; "" is the base alone. Raises InputError where there is none of that name."""
        if name and name not in self.names:
            raise InputError(f"There are no adapters {name!r}: there are {', '.join(self.names) or 'none'}.")
        if self.active:
            self._sets[self.active] = self._values()
        if name == self.active:
            return
        for layer in self._layers.values():
            a, b = _pair(layer)
            wanted = self._sets.get(name)
            path = _kernel(layer).path
            a.assign(wanted[f"{path}/a"] if wanted else np.zeros(a.shape))
            b.assign(wanted[f"{path}/b"] if wanted else np.zeros(b.shape))
        self.active = name

    def save(self, path: str | Path, name: str | None = None) -> None:
        """Write one set, the active one by default, as an .npz of float32. Raises InputError, StorageError."""
        chosen = self.active if name is None else name
        if chosen not in self.names:
            raise InputError(f"There are no adapters {chosen!r}: there are {', '.join(self.names) or 'none'}.")
        values = self._values() if chosen == self.active else self._sets[chosen]
        meta = {"format": 1, "rank": self.rank, "alpha": self.alpha, "base": self._base()}
        with storage_errors(f"write adapters to {path}"), Path(path).open("wb") as file:
            arrays: dict[str, Any] = {**values, _META: np.frombuffer(json.dumps(meta).encode(), np.uint8)}
            np.savez(file, **arrays)

    def load(self, path: str | Path, name: str) -> None:
        """Read a set under that name; `switch` to use it.

        Raises InputError where the file is damaged, of another rank, or was trained on another base.
        """
        if not name:
            raise InputError('The name "" stands for the base alone: give the adapters another one.')
        try:
            with np.load(path, allow_pickle=False) as archive:
                meta = json.loads(archive[_META].tobytes())
                rank, alpha, base = meta["rank"], meta["alpha"], meta["base"]
                values = {key: archive[key].astype(np.float32) for key in archive.files if key != _META}
        except Exception as error:  # zipfile, zlib, json, numpy and the system each have their own
            raise InputError(
                f"Adapters {path} cannot be read ({error}): expected a file that Adapters.save wrote."
            ) from error
        if (rank, alpha) != (self.rank, self.alpha):
            raise InputError(
                f"Adapters {path} have rank {rank} and alpha {alpha}, here are {self.rank} and "
                f"{self.alpha}: attach with the same."
            )
        own = self._values()
        same = {key: value.shape for key, value in values.items()} == {key: v.shape for key, v in own.items()}
        if base != self._base() or not same:
            raise InputError(f"Adapters {path} were trained on another base model, or on other layers of it.")
        if not all(np.isfinite(value).all() for value in values.values()):
            raise InputError(f"Adapters {path} hold NaN or infinity: train them again.")
        self._sets[name] = values
        if name == self.active:
            self.active = ""
            self.switch(name)

    def merge(self) -> None:
        """Add the active set to the kernels and take all adapters off: an ordinary model that answers the same."""
        for layer in self._layers.values():
            a, b = _pair(layer)
            kernel = _kernel(layer)
            product = np.matmul(a.numpy(), b.numpy()) * (self.alpha / self.rank)
            kernel.assign(kernel.numpy() + product.astype(kernel.dtype))
        self.detach()

    def detach(self) -> None:
        """Take all adapters off; the model is the base again, as trainable as it was."""
        for layer in self._layers.values():
            for variable in _pair(layer):
                layer._untrack_variable(variable)
            names = ("lora_embeddings_a", "lora_embeddings_b") if hasattr(layer, "embeddings") else _NAMES
            layer._tracker.unlock()
            for attribute in names:
                setattr(layer, attribute, None)
            layer._tracker.lock()
            layer.lora_enabled, layer.lora_rank, layer.lora_alpha = False, None, None
        for frozen in self._frozen:
            frozen.trainable = True
        self._layers, self._frozen, self._sets, self.active = {}, [], {}, ""
        self._forget_functions()

    def _values(self) -> dict[str, Array]:
        found = {}
        for path, layer in self._layers.items():
            for part, variable in zip("ab", _pair(layer), strict=True):
                found[f"{path}/{part}"] = variable.numpy()
        return found

    def _base(self) -> str:
        """SHA-256 over the kernels under the adapters."""
        return sha256_hex(b"".join(_kernel(layer).numpy().tobytes() for layer in self._layers.values()))

    def _forget_functions(self) -> None:
        """What Keras has traced computes with the layers as they were."""
        for attribute in ("train_function", "test_function", "predict_function"):
            setattr(self.model, attribute, None)


_NAMES = ("lora_kernel_a", "lora_kernel_b")


def _kernel(layer: Any) -> Any:
    """The variable that adapters add to, None where the layer takes none."""
    if not hasattr(layer, "enable_lora") or not layer.built:
        return None
    kernel = layer._embeddings if hasattr(layer, "_embeddings") else getattr(layer, "_kernel", None)
    return kernel if kernel is not None and "float" in kernel.dtype else None


def _pair(layer: Any) -> tuple[Any, Any]:
    if hasattr(layer, "lora_embeddings_a"):
        return layer.lora_embeddings_a, layer.lora_embeddings_b
    return layer.lora_kernel_a, layer.lora_kernel_b
