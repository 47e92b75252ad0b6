"""A tokenizer of ours as one of the tokenizers library, to compare with."""

from __future__ import annotations

from typing import Any

from edgewright_runtime.errors import InputError
from edgewright_runtime.text import Tokenizer
from edgewright_runtime.text.model import Model


def to_library(tokenizer: Tokenizer) -> Any:
    """A ``tokenizers.Tokenizer`` that gives the same ids for cleaned texts. Raises InputError for words and hashed,
    which the library does not split as we do.
    """
    from tokenizers import Tokenizer as Library

    if tokenizer.kind not in _PARTS:
        raise InputError(f"The tokenizers library has no splitting like that of the kind {tokenizer.kind}.")
    library = Library(_PARTS[tokenizer.kind](tokenizer.model))
    _SPLITTINGS[tokenizer.kind](library, tokenizer.model)
    library.encode_special_tokens = True  # no text may give a special id
    return library


def _vocabulary(model: Model) -> dict[str, int]:
    return {piece: index for index, piece in enumerate(model.vocabulary)}


def _characters(model: Any) -> Any:
    from tokenizers.models import WordLevel

    return WordLevel(_vocabulary(model), unk_token=model.vocabulary[model.unknown])


def _bpe(model: Any) -> Any:
    from tokenizers.models import BPE

    pieces = model.vocabulary
    return BPE(_vocabulary(model), [(pieces[left], pieces[right]) for left, right in model.merges])


def _wordpiece(model: Any) -> Any:
    from tokenizers.models import WordPiece

    return WordPiece(_vocabulary(model), unk_token=model.vocabulary[model.unknown])


def _unigram(model: Any) -> Any:
    from tokenizers.models import Unigram

    return Unigram(list(zip(model.vocabulary, model.scores, strict=True)), model.unknown)


def _split_characters(library: Any, model: Any) -> None:
    from tokenizers import Regex, decoders, pre_tokenizers

    library.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    library.decoder = decoders.Fuse()


def _split_bytes(library: Any, model: Any) -> None:
    from tokenizers import decoders, pre_tokenizers

    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=model.prefix)
    library.decoder = decoders.ByteLevel()


def _split_words(library: Any, model: Any) -> None:
    from tokenizers import decoders, normalizers, pre_tokenizers

    options = model.options()
    library.normalizer = normalizers.BertNormalizer(
        clean_text=options["clean"],
        handle_chinese_chars=options["chinese"],
        strip_accents=options["strip_accents"],
        lowercase=options["lowercase"],
    )
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()


def _split_at_spaces(library: Any, model: Any) -> None:
    from tokenizers import decoders, pre_tokenizers

    scheme = "always" if model.prefix else "never"
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    library.decoder = decoders.Metaspace(prepend_scheme=scheme)


_PARTS = {"characters": _characters, "bpe": _bpe, "wordpiece": _wordpiece, "unigram": _unigram}
_SPLITTINGS = {
    "characters": _split_characters,
    "bpe": _split_bytes,
    "wordpiece": _split_words,
    "unigram": _split_at_spaces,
}
