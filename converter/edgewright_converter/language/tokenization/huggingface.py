"""Take over a trained tokenizer.json of the tokenizers library, if the device can give the same ids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgewright_runtime.errors import InputError
from edgewright_runtime.text import Cleaning, Tokenizer
from edgewright_runtime.text.model import Model

# By what names the special pieces go, the first that is there.
_NAMES = {
    "pad": ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>", "</s>"),  # GPT-2 has none: people pad it with its end
    "unknown": ("[UNK]", "<unk>"),
    "begin": ("[CLS]", "<s>", "<bos>", "[BOS]", "[BEGIN]"),
    "end": ("[SEP]", "</s>", "<eos>", "[EOS]", "[END]", "<|endoftext|>"),
    "mask": ("[MASK]", "<mask>"),
}


def from_huggingface(raw: bytes, *, max_length: int, **settings: Any) -> Tokenizer:
    """raw: a tokenizer.json whose model is BPE on bytes, WordPiece or Unigram. The rest as in ``Tokenizer``.

    A text that spells a special piece gets the ids of its letters, never the special one's. Raises InputError where the
    file is no such tokenizer, or does something that the device cannot do the same.
    """
    try:
        document = json.loads(raw.decode("utf-8"))
        kind = document["model"].get("type") or _kind_of(document["model"])
        model, cleaning = _READERS[kind](document)
        begin, end = _frame(document.get("post_processor"), model)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        if (
            isinstance(error, KeyError)
            and error.args
            and isinstance(error.args[0], str)
            and error.args[0][:1].isupper()
        ):
            raise InputError(f"A tokenizer of the model {error.args[0]} cannot be taken over: {_EXPECTED}.") from error
        raise InputError(f"This is no tokenizer.json of the tokenizers library: {_EXPECTED}.") from error
    return Tokenizer(model, max_length, cleaning=cleaning, begin=begin, end=end, **settings)


_EXPECTED = "expected the models BPE on bytes, WordPiece or Unigram"


def _kind_of(model: Mapping[str, Any]) -> str:
    """Files of early versions do not say it."""
    if "merges" in model:
        return "BPE"
    return "Unigram" if isinstance(model.get("vocab"), list) else "WordPiece"


def _refuse(what: str) -> InputError:
    return InputError(f"The tokenizer has {what}, which the device cannot do the same: train one with edgewright.")


def _require(part: Mapping[str, Any], **wanted: Any) -> None:
    for name, value in wanted.items():
        if (part.get(name) or None) != (value or None):
            raise _refuse(f"{name} {part.get(name)!r}")


def _special(document: Mapping[str, Any], vocabulary: dict[str, int], unknown: str | None) -> dict[str, int]:
    """Adds the pieces that stand outside the model to the vocabulary, and gives the roles and names of special ones."""
    added = document.get("added_tokens") or []
    for token in added:
        if vocabulary.setdefault(token["content"], token["id"]) != token["id"] or not token["special"]:
            raise _refuse(f"the piece {token['content']!r} added to its model")
    names = {token["content"] for token in added} | ({unknown} if unknown is not None else set())
    special: dict[str, int] = {}
    for role, candidates in _NAMES.items():
        found = next((name for name in candidates if name in names), None)
        if role == "unknown":
            found = unknown
        if found is not None:
            special[role] = vocabulary[found]
    for name in sorted(names):
        if vocabulary[name] not in special.values():
            special[name] = vocabulary[name]
    if "pad" not in special:
        raise _refuse("no piece for padding")
    return special


def _in_order(vocabulary: dict[str, int]) -> tuple[str, ...]:
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    if [vocabulary[piece] for piece in pieces] != list(range(len(pieces))):
        raise _refuse("gaps between its ids")
    return tuple(pieces)


def _bpe(document: Mapping[str, Any]) -> tuple[Model, Cleaning]:
    from edgewright_runtime.text.bpe import BytePairs

    model, splitting = document["model"], document["pre_tokenizer"] or {}
    if splitting.get("type") != "ByteLevel" or not splitting.get("use_regex", True):
        raise _refuse(f"the splitting {splitting.get('type')}")
    _require(model, dropout=None, continuing_subword_prefix="", end_of_word_suffix="", byte_fallback=False)
    if model.get("ignore_merges"):
        raise _refuse("ignore_merges")
    vocabulary = dict(model["vocab"])
    special = _special(document, vocabulary, model.get("unk_token"))
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    pairs = [(vocabulary[left], vocabulary[right]) for left, right in merges]
    return BytePairs(_in_order(vocabulary), special, pairs, splitting["add_prefix_space"]), _cleaning(document)


def _wordpiece(document: Mapping[str, Any]) -> tuple[Model, Cleaning]:
    from edgewright_runtime.text.wordpiece import CONTINUES, WORD_LIMIT, WordPieces

    model, splitting = document["model"], document["pre_tokenizer"] or {}
    if splitting.get("type") != "BertPreTokenizer":
        raise _refuse(f"the splitting {splitting.get('type')}")
    _require(model, continuing_subword_prefix=CONTINUES, max_input_chars_per_word=WORD_LIMIT)
    vocabulary = dict(model["vocab"])
    special = _special(document, vocabulary, model["unk_token"])
    normalizer = document.get("normalizer") or {}
    if normalizer.get("type") == "BertNormalizer":
        accents = normalizer["strip_accents"]
        options = {
            "clean": normalizer["clean_text"],
            "chinese": normalizer["handle_chinese_chars"],
            "strip_accents": normalizer["lowercase"] if accents is None else accents,
            "lowercase": normalizer["lowercase"],
        }
        return WordPieces(_in_order(vocabulary), special, **options), Cleaning(normalization=None)
    options = dict.fromkeys(("clean", "chinese"), False)
    return WordPieces(_in_order(vocabulary), special, **options), _cleaning(document)


def _unigram(document: Mapping[str, Any]) -> tuple[Model, Cleaning]:
    from edgewright_runtime.text.unigram import SPACE, Unigram

    model, splitting = document["model"], document["pre_tokenizer"] or {}
    if splitting.get("type") != "Metaspace" or splitting["replacement"] != SPACE or not splitting.get("split", True):
        raise _refuse(f"the splitting {splitting.get('type')}")
    if model.get("byte_fallback") or model.get("unk_id") is None:
        raise _refuse("pieces for single bytes, or no unknown piece")
    vocabulary = {piece: index for index, (piece, _) in enumerate(model["vocab"])}
    special = _special(document, vocabulary, model["vocab"][model["unk_id"]][0])
    scores = [float(score) for _, score in model["vocab"]]
    scores += [min(scores)] * (len(vocabulary) - len(scores))
    prefix = (
        splitting.get("prepend_scheme", "always" if splitting.get("add_prefix_space", True) else "never") != "never"
    )
    return Unigram(_in_order(vocabulary), special, scores, prefix), _cleaning(document)


_READERS = {"BPE": _bpe, "WordPiece": _wordpiece, "Unigram": _unigram}


def _cleaning(document: Mapping[str, Any]) -> Cleaning:
    """A normalization, then small letters, either of them or none."""
    normalizer = document.get("normalizer")
    steps = normalizer["normalizers"] if normalizer and normalizer["type"] == "Sequence" else [normalizer]
    names = [step["type"] for step in steps if step is not None]
    form = names.pop(0) if names and names[0] in ("NFC", "NFKC") else None
    if names not in ([], ["Lowercase"]):
        raise _refuse(f"the normalizer {names[0]}")
    return Cleaning(normalization=form, lowercase=bool(names))


def _frame(processor: Mapping[str, Any] | None, model: Model) -> tuple[bool, bool]:
    """Whether texts get a begin and an end; the ids that they get so become those of these names."""
    if processor is None or processor["type"] == "ByteLevel":
        return False, False
    if processor["type"] in ("BertProcessing", "RobertaProcessing"):
        _name(model, "begin", processor["cls"][1])
        _name(model, "end", processor["sep"][1])
        return True, True
    if processor["type"] != "TemplateProcessing":
        raise _refuse(f"the post-processor {processor['type']}")
    single = processor["single"]
    at = next(index for index, part in enumerate(single) if "Sequence" in part)
    if at > 1 or len(single) - at > 2:
        raise _refuse("more than one piece before or behind a text")
    tokens = processor["special_tokens"]
    for name, part in (("begin", single[:at]), ("end", single[at + 1 :])):
        if part:
            (index,) = tokens[part[0]["SpecialToken"]["id"]]["ids"]
            _name(model, name, index)
    return at == 1, len(single) - at == 2


def _name(model: Model, name: str, index: int) -> None:
    if index not in model.reserved:
        raise _refuse(f"the piece {index} around texts, which is not special")
    model.special[name] = index
