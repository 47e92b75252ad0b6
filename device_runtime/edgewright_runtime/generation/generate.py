"""A text that goes on from a prompt, piece by piece as its tokens come."""

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any, NamedTuple, Optional

from ..bundle import Bundle
from ..engines import Engine
from ..errors import InputError
from ..text import Decoder, Tokenizer
from .prompts import Prompts
from .sampling import Sampler, Sampling
from .stepper import Stepper

MAX_TOKENS = 64
Tell = Callable[[int, str], None]  # a token, and what can be said since the one before


class Limits(NamedTuple):
    """Where an answer ends, besides the end token and a full context."""

    max_tokens: int = MAX_TOKENS
    stop: Sequence[str] = ()


def generate(
    bundle: Bundle,
    engine: Engine,
    prompt: str,
    sampling: Sampling,
    limits: Limits,
    tell: Tell = lambda token, text: None,
    prompts: Optional[Prompts] = None,
) -> dict[str, Any]:
    """Go on from the prompt. tell: hears each token with the text that is certain by then. prompts: kept on the disk.

    Returns text; tokens, their ids; stopped, by "end", "stop", "length" or "context"; prompt_tokens, of these
    cached_tokens that were not computed again, and cut_tokens that the context has no room for; token_ns, the time
    that each token took, the first with its prompt. Raises InputError where the model generates no text.
    """
    tokenizer = bundle.tokenizer()
    if tokenizer is None:
        raise InputError(f"The model {bundle.manifest.name} has no tokenizer: convert it with --tokenizer.")
    if limits.max_tokens < 1:
        raise InputError(f"The number of tokens to generate is at least one, not {limits.max_tokens}.")
    stepper = Stepper(bundle, engine)
    sampler = Sampler(sampling, unspoken(tokenizer))
    ids, cut = _prompt(tokenizer, prompt, stepper.context, limits.max_tokens)
    speech = _Speech(tokenizer, ids, limits.stop, tell)
    began = perf_counter_ns()
    cached = read_prompt(stepper, ids, prompts)
    token_ns: list[int] = []
    stopped = "length"
    while len(speech.tokens) < limits.max_tokens:
        token = sampler.pick(stepper.log_probabilities())
        if token == tokenizer.end_id:
            stopped = "end"
            break
        found = speech.say(token)
        now = perf_counter_ns()
        token_ns.append(now - began)
        began = now
        if found:
            stopped = "stop"
            break
        if stepper.position == stepper.context:
            stopped = "context"
            break
        if len(speech.tokens) < limits.max_tokens:
            stepper.read([token])
    speech.finish()
    return {
        "text": speech.text,
        "tokens": speech.tokens,
        "stopped": stopped,
        "prompt_tokens": len(ids),
        "cached_tokens": cached,
        "cut_tokens": cut,
        "token_ns": token_ns,
    }


def unspoken(tokenizer: Tokenizer) -> list[int]:
    """The ids that stand for no text, but for the end."""
    special = (tokenizer.pad_id, tokenizer.unknown_id, tokenizer.begin_id, tokenizer.mask_id)
    return [index for index in special if index is not None and index != tokenizer.end_id]


def read_prompt(stepper: Stepper, ids: list[int], prompts: Optional[Prompts]) -> int:
    """Bring the model to the prompt's end. Returns how many of its tokens were known."""
    stepper.begin()
    known = 0
    if prompts is not None:
        saved = prompts.find(ids)
        if saved is not None:
            stepper.restore(saved)
            known = saved.position
    stepper.read(ids[known:])
    if prompts is not None and known < len(ids):
        prompts.keep(ids, stepper.save())
    return known


def _prompt(tokenizer: Tokenizer, prompt: str, context: Optional[int], wanted: int) -> tuple[list[int], int]:
    """The ids, and how many at their head were left out for the answer to have room."""
    ids = tokenizer.ids(prompt)
    begin = [] if tokenizer.begin_id is None else [tokenizer.begin_id]
    if not begin and not ids:
        raise InputError("The prompt says nothing, and the model has no token for a beginning: give it some words.")
    room = len(ids) if context is None else max(context // 2, context - wanted) - len(begin)
    cut = max(0, len(ids) - max(1, room))
    return begin + ids[cut:], cut


class _Speech:
    """What was said after a prompt of ids. What may be the beginning of a stop string waits until it is none."""

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int], stop: Sequence[str], tell: Tell) -> None:
        self._decoder = Decoder(tokenizer)
        for index in prompt:  # a word after others begins with a space, and a character may be spelled by both
            self._decoder.push(index)
        self._stop, self._tell = [s for s in stop if s], tell
        self._waiting = self.text = ""
        self.tokens: list[int] = []

    def say(self, token: int) -> bool:
        """Returns whether a stop string is complete; it and what follows are not said."""
        self.tokens.append(token)
        self._waiting += self._decoder.push(token)
        ends = [place for place in (self._waiting.find(stop) for stop in self._stop) if place >= 0]
        certain = min(ends) if ends else len(self._waiting) - self._open()
        said = self._waiting[:certain]
        self._waiting = "" if ends else self._waiting[certain:]
        self.text += said
        self._tell(token, said)
        return bool(ends)

    def _open(self) -> int:
        """How many characters at the end may be a stop string's first ones."""
        longest = max(map(len, self._stop), default=1) - 1
        for size in range(min(longest, len(self._waiting)), 0, -1):
            if any(stop.startswith(self._waiting[-size:]) for stop in self._stop):
                return size
        return 0

    def finish(self) -> None:
        rest = self._waiting + self._decoder.finish()
        self._waiting = ""
        if rest:
            self.text += rest
            self._tell(-1, rest)
