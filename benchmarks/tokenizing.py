"""How fast a device's tokenizers are in pure Python, beside the tokenizers library, which no device has.

    python benchmarks/tokenizing.py [--seconds 2]

Sentences of home-assistant-intents (English, German, Malayalam), one after the other as a device gets them: text in,
ids out. Cold is the first sight of each sentence, with no word remembered; warm is the later ones, as a device that
hears the same words again and again. The library's time is of one call for each sentence, on one thread. Last, one
text of 1 MB, of words that differ. Each figure is the least of interleaved rounds; words and hashed have no peer.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"

SIZE, LENGTH = 2000, 32


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2, help="for each kind, as a goal")
    arguments = parser.parse_args()

    from edgewright_converter.language.data import intents
    from edgewright_converter.language.tokenization import to_library, train_tokenizer
    from edgewright_runtime.errors import InputError
    from edgewright_runtime.text import KINDS, Cleaning, Tokenizer

    spread = random.Random(0)
    train, test = [], []
    for language in ("en", "de", "ml"):
        texts = list(intents.read(language, seed=0).texts)
        spread.shuffle(texts)
        train += texts[:1000]
        test += texts[1000:1300]
    words = sorted({word for text in train + test for word in text.split()})
    parts: list[str] = []
    size = 0
    while size < 1_000_000:
        parts.append(f"{spread.choice(words)}{spread.randrange(10_000)}")
        size += len(parts[-1].encode()) + 1
    long = " ".join(parts)

    print(f"{len(test)} sentences, {sum(len(text.encode()) for text in test) / len(test):.0f} bytes each")
    titles = {"ids": 7, "file": 9, "cold": 10, "warm": 10, "library": 10, "warm ÷": 9, "1 MB": 9, "library's": 10}
    print(f"{'kind':12}" + "".join(f"{title:>{width}}" for title, width in titles.items()))
    for kind in KINDS:
        tokenizer = train_tokenizer(train, kind=kind, size=SIZE, max_length=LENGTH, cleaning=Cleaning(lowercase=True))
        raw = tokenizer.to_json()
        try:
            peer = partial(_peer, tokenizer.cleaning, to_library(tokenizer))
        except InputError:
            peer = None
        cold = warm = theirs = float("inf")
        until = time.monotonic() + arguments.seconds
        while True:
            fresh = Tokenizer.from_json(raw)
            cold = min(cold, _each(fresh.ids, test))
            warm = min(warm, _each(fresh.ids, test))
            if peer is not None:
                theirs = min(theirs, _each(peer, test))
            if time.monotonic() > until:
                break
        ours_long = _each(Tokenizer.from_json(raw).ids, [long])
        theirs_long = None if peer is None else _each(peer, [long])
        print(
            f"{kind:12}{tokenizer.size:7}{len(raw):8,}B{cold:8.1f}µs{warm:8.1f}µs"
            + (f"{theirs:8.1f}µs{warm / theirs:8.2f}×" if peer is not None else f"{'–':>10}{'–':>9}")
            + f"{ours_long / 1e6:8.2f}s"
            + (f"{theirs_long / 1e6:9.2f}s" if theirs_long is not None else f"{'–':>10}"),
            flush=True,
        )
    return 0


def _peer(cleaning: Any, library: Any, text: str) -> Any:
    return library.encode(cleaning.clean(text)).ids


def _each(encode: Callable[[str], Any], texts: list[str]) -> float:
    """Microseconds for each text."""
    started = time.perf_counter_ns()
    for text in texts:
        encode(text)
    return (time.perf_counter_ns() - started) / 1e3 / len(texts)


if __name__ == "__main__":
    sys.exit(main())
