"""BLEU (Papineni et al. 2002) and chrF (Popović 2015) as sacrebleu computes them, with its own bootstrap."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgewright_runtime.errors import InputError

from .intervals import RESAMPLES, Measure


@dataclass(frozen=True)
class Translation:
    """bleu, chrf: 0 to 100; signature: of sacrebleu's settings, which a figure is worth nothing without."""

    sentences: int
    bleu: Measure
    chrf: Measure
    signature: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def translation(hypotheses: Sequence[str], references: Sequence[str], *, resamples: int = RESAMPLES) -> Translation:
    """One reference for each hypothesis. Raises ValueError for other numbers, InputError without sacrebleu."""
    if len(hypotheses) != len(references) or not hypotheses:
        raise ValueError(f"{len(hypotheses)} translations and {len(references)} references do not go together")
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError as error:
        raise InputError("BLEU and chrF need sacrebleu: pip install 'edgewright[language]'.") from error
    bleu = BLEU()
    own = _measure(bleu, hypotheses, references, resamples)
    return Translation(
        len(hypotheses), own, _measure(CHRF(), hypotheses, references, resamples), str(bleu.get_signature())
    )


def _measure(metric: Any, hypotheses: Sequence[str], references: Sequence[str], resamples: int) -> Measure:
    texts, truth = list(hypotheses), [list(references)]
    # chrF of a resample without a single match is a float, of others a float32, and sacrebleu cannot average the two.
    score = metric._compute_score_from_stats
    metric._compute_score_from_stats = lambda counts: score([float(count) for count in counts])
    value = float(metric.corpus_score(texts, truth).score)
    if len(texts) < 2:
        return Measure(value, 0.0, 100.0)  # one sentence says nothing about others
    drawn = metric.corpus_score(texts, truth, n_bootstrap=resamples)
    low, high = float(drawn._mean - drawn._ci), float(drawn._mean + drawn._ci)  # float32, which JSON does not take
    return Measure(value, max(0.0, min(low, value)), min(100.0, max(high, value)))
