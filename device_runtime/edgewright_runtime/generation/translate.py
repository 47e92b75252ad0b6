"""A text in another language: the source is read once, the answer comes token by token."""

from typing import Any, NamedTuple

import numpy as np

from ..border import from_border, to_border
from ..bundle import Bundle
from ..engines import Array, Engine
from ..errors import InputError
from ..text import Decoder, Tokenizer
from .generate import MAX_TOKENS, Tell, unspoken
from .stepper import Saved, Stepper


class Search(NamedTuple):
    """beams: how many beginnings are followed side by side, 1: the most probable token each time.

    length_penalty: the exponent of Wu et al. 2016, equation 14; 0 prefers short answers.
    """

    beams: int = 1
    max_tokens: int = MAX_TOKENS
    length_penalty: float = 0.6


class _Beam(NamedTuple):
    log_probability: float
    tokens: list[int]
    ended: bool
    saved: Saved


def translate(
    bundle: Bundle,
    engine: Engine,
    encoder: Engine,
    source: str,
    search: Search,
    tell: Tell = lambda token, text: None,
) -> dict[str, Any]:
    """Returns text; tokens, their ids; stopped, by "end", "length" or "context"; log_probability of it all.

    tell: hears the tokens as they come, of several beams when the best is known. Raises InputError where the bundle is
    no translator.
    """
    tokenizer = bundle.tokenizer()
    if tokenizer is None or tokenizer.begin_id is None or tokenizer.end_id is None:
        raise InputError(
            f"The model {bundle.manifest.name} has no tokenizer with a begin and an end: convert it with --tokenizer."
        )
    if search.beams < 1 or search.max_tokens < 1:
        raise InputError("The numbers of beams and of tokens are at least one.")
    stepper = Stepper(bundle, engine)
    stepper.begin(read_source(encoder, tokenizer, source))
    stepper.read([tokenizer.begin_id])
    decoder = Decoder(tokenizer)
    alone = search.beams == 1
    room = search.max_tokens if stepper.context is None else min(search.max_tokens, stepper.context - 1)
    never = unspoken(tokenizer)
    beams = [_Beam(0.0, [], False, stepper.save())]
    for count in range(room):
        beams = _extend(stepper, beams, search, tokenizer.end_id, never, last=count == room - 1)
        if alone and not beams[0].ended:
            tell(beams[0].tokens[-1], decoder.push(beams[0].tokens[-1]))
        if beams[0].ended and (alone or all(beam.ended for beam in beams)):
            break
    best = beams[0]
    if not alone:
        for token in best.tokens:
            tell(token, decoder.push(token))
    rest = decoder.finish()
    if rest:
        tell(-1, rest)
    return {
        "text": tokenizer.decode(best.tokens),
        "tokens": best.tokens,
        "stopped": "end" if best.ended else "length" if room == search.max_tokens else "context",
        "log_probability": best.log_probability,
    }


def read_source(encoder: Engine, tokenizer: Tokenizer, source: str) -> dict[str, Array]:
    """What the steps refer to, by name, in real numbers."""
    (spec,) = encoder.inputs
    answers = encoder.invoke([to_border(tokenizer.encode(source), spec)])
    return {out.name: from_border(answer, out) for out, answer in zip(encoder.outputs, answers)}


def _extend(
    stepper: Stepper, beams: list[_Beam], search: Search, end: int, never: list[int], last: bool
) -> list[_Beam]:
    """Each beam by one token, the best of all, best first."""
    found: list[tuple[float, _Beam, int]] = []  # rated, with the beam and the token; -1: it has ended
    for beam in beams:
        if beam.ended:
            found.append((_rated(beam.log_probability, len(beam.tokens), search), beam, -1))
            continue
        stepper.restore(beam.saved)
        scores = stepper.log_probabilities()
        scores[never] = -np.inf
        for token in np.argsort(-scores, kind="stable")[: search.beams].tolist():
            total = beam.log_probability + float(scores[token])
            found.append((_rated(total, len(beam.tokens) + 1, search), beam, token))
    found.sort(key=lambda entry: -entry[0])
    chosen = []
    for _, beam, token in found[: search.beams]:
        if token == -1:
            chosen.append(beam)
            continue
        stepper.restore(beam.saved)
        total = beam.log_probability + float(stepper.log_probabilities()[token])
        if token == end:
            chosen.append(_Beam(total, beam.tokens, True, beam.saved))
            continue
        if not last:
            stepper.read([token])
        chosen.append(_Beam(total, [*beam.tokens, token], False, stepper.save()))
    return chosen


def _rated(log_probability: float, length: int, search: Search) -> float:
    return float(log_probability / ((5 + length) / 6) ** search.length_penalty)
