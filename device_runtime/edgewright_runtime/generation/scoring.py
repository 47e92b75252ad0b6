"""How probable a model finds a text, in nats: what perplexity and bits per byte are computed from."""

from typing import NamedTuple, Union

from ..errors import InputError
from ..text import Tokenizer
from .stepper import Stepper


class TextScore(NamedTuple):
    """nats: the negative logarithm of the text's probability, over ``tokens`` of it, the end among them where there is
    one; the first token is not predicted where there is no begin before it. unknown: how many of these the vocabulary
    does not have, so that what they stand for was not predicted. size_bytes: of the text in UTF-8.
    """

    nats: float
    tokens: int
    unknown: int
    size_bytes: int


def score_text(stepper: Stepper, tokenizer: Tokenizer, text: Union[str, bytes]) -> TextScore:
    """A text longer than the context is read in windows: each token but the first ones has half a context before it.

    Raises InputError where there is nothing to predict.
    """
    frame = [[] if index is None else [index] for index in (tokenizer.begin_id, tokenizer.end_id)]
    ids = [*frame[0], *tokenizer.ids(text), *frame[1]]
    if len(ids) < 2:
        raise InputError("A text of less than two tokens has nothing to predict: leave it out.")
    size = len(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    nats = 0.0
    start = scored = 0  # of the window; ids[: scored + 1] are predicted or the first one
    while scored < len(ids) - 1:
        end = len(ids) - 1 if stepper.context is None else min(len(ids) - 1, start + stepper.context)
        stepper.begin()
        for place in range(start, end):
            stepper.read([ids[place]])
            if place >= scored:
                nats -= float(stepper.log_probabilities()[ids[place + 1]])
        scored = end
        start = end - (stepper.context or 0) // 2
    return TextScore(nats, len(ids) - 1, ids[1:].count(_unknown(tokenizer)), size)


def _unknown(tokenizer: Tokenizer) -> int:
    return -1 if tokenizer.unknown_id is None else tokenizer.unknown_id
