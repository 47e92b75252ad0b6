"""All that a training from data can be told."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edgewright_runtime.errors import InputError
from edgewright_runtime.text import Cleaning

from ...passes.training import TrainingOptions

_LEAST_EPOCHS, _LEAST_STEPS, _LEAST_PRETRAINING = 4, 2000, 4000
PRETRAINING = ("", "masked", "causal")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """model, width, depth, options: of the zoo; model None: that of the backbone, else text-cnn.

    text, labels, group, target, encoding, format: as ``language.data.read`` takes them. test, validation: shares.
    tokenizer: a kind to train (None: words, for language models and translators bpe), with vocabulary ids (None: 4,000
    words, 1,000 of other kinds) and texts of length ids (None: what 98 % of them need, 128 at most; 64 for a language
    model), and with tokenizer_options as ``train_tokenizer`` takes them; or a .json file. cleaning: None: small
    letters, for language models and translators none. truncation, pooling, stride: of the tokenizer.

    epochs: None: 4, or as many as 2,000 batches take, to pre-train 4,000. learning_rate: None: the model's own in the
    zoo. patience: as TrainingOptions has it, on the validation part. label_smoothing: None: 0.1 for classes, 0 for
    tokens; weight_decay; token_dropout: the share of a text's tokens that become unknown, None: 0.1 for classes where
    the tokenizer has an unknown token, else 0; token_deletion: the share that is left out; augment: what
    ``parse_augmentation`` reads; class_weights: whether each class counts the same in the loss.

    pretrain: "masked" or "causal", first, on corpus (files of texts) and the training texts, for pretrain_epochs.
    backbone: a .keras file whose layers the model begins with. freeze: so many of its layers, from the input on, keep
    their weights, -1 for all but the heads. rate_decay: a layer's learning rate by that of the layer after it.
    features: a .json file, of models that hear. precision, strategy: as TrainingOptions' mixed_precision and strategy.
    """

    model: str | None = None
    width: int | None = None
    depth: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    text: str = "text"
    labels: tuple[str, ...] | None = None
    group: str | None = None
    target: str | None = None
    encoding: str = "utf-8"
    format: str | None = None
    test: float = 0.18
    validation: float = 0.1

    tokenizer: str | None = None
    tokenizer_options: Mapping[str, Any] = field(default_factory=dict)
    vocabulary: int | None = None
    length: int | None = None
    cleaning: Cleaning | None = None
    truncation: str = "head"
    pooling: str | None = None
    stride: int | None = None

    epochs: int | None = None
    batch: int = 64
    learning_rate: float | None = None
    label_smoothing: float | None = None
    weight_decay: float = 0.01
    token_dropout: float | None = None
    token_deletion: float = 0.0
    augment: str = ""
    class_weights: bool = False
    patience: int = 0
    seed: int = 0

    pretrain: str = ""
    corpus: tuple[str, ...] = ()
    pretrain_epochs: int | None = None
    backbone: str | None = None
    freeze: int = 0
    rate_decay: float = 1.0
    features: str | None = None

    precision: str = ""
    strategy: str = ""

    def __post_init__(self) -> None:
        """Raises InputError."""
        if self.pretrain not in PRETRAINING:
            raise InputError(f"pretrain is {self.pretrain!r}: expected masked or causal.")
        for name in ("label_smoothing", "token_dropout", "token_deletion"):
            share = getattr(self, name)
            if share is not None and not 0 <= share < 1:
                raise InputError(f"{name} is {share:g}: expected a share from 0 to below 1.")
        if not 0 < self.rate_decay <= 1:
            raise InputError(f"rate_decay is {self.rate_decay:g}: expected more than 0 and at most 1.")
        if self.freeze < -1:
            raise InputError(f"freeze is {self.freeze}: expected a number of layers, or all.")
        if self.backbone is None and (self.freeze or self.rate_decay < 1):
            raise InputError("freeze and rate_decay are about a backbone, and none is given: give --backbone.")
        if self.corpus and not self.pretrain:
            raise InputError("A corpus is for pre-training: say how, with --pretrain masked or causal.")
        if self.tokenizer_options and (self.tokenizer is None or self.tokenizer.endswith(".json")):
            raise InputError("Options of a tokenizer are for a kind that is to be trained: name it, with --tokenizer.")
        if self.weight_decay < 0:
            raise InputError(f"weight_decay is {self.weight_decay:g}: expected 0 or more.")
        self.training(1, self.epochs)

    @property
    def rate(self) -> float:
        """The learning rate; of a model that is not of the zoo, where none is given, a cautious one."""
        return 1e-3 if self.learning_rate is None else self.learning_rate

    def smoothing(self, usual: float) -> float:
        """The label smoothing, ``usual`` where none is given."""
        return usual if self.label_smoothing is None else self.label_smoothing

    def training(self, samples: int, epochs: int | None, is_pretraining: bool = False) -> TrainingOptions:
        """As the passes take them, for so many samples. Raises InputError where a value cannot be."""
        try:
            options = TrainingOptions(
                epochs=1 if epochs is None else epochs,
                learning_rate=self.learning_rate,
                batch=self.batch,
                patience=self.patience,
                seed=self.seed,
                mixed_precision=self.precision,
                strategy=self.strategy,
            )
        except ValueError as error:
            raise InputError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
        if epochs is None:
            steps = max(1, -(-samples // min(self.batch, samples)))
            least = _LEAST_PRETRAINING if is_pretraining else _LEAST_STEPS
            return TrainingOptions(**{**asdict(options), "epochs": max(_LEAST_EPOCHS, -(-least // steps))})
        return options

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        cleaning = None if self.cleaning is None else self.cleaning._asdict()
        return {**asdict(self), "cleaning": cleaning}
