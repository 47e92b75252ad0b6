"""Stop words by language, from the lists of the package stopwordsiso (57 languages)."""

from __future__ import annotations

from edgewright_runtime.errors import InputError


def stop_words(language: str) -> tuple[str, ...]:
    """language: its two-letter code, "en", "eu" …; the words are in small letters. Raises InputError."""
    try:
        import stopwordsiso
    except ImportError as error:
        raise InputError("Stop words need the package stopwordsiso: pip install 'edgewright[language]'.") from error
    if not stopwordsiso.has_lang(language):
        known = ", ".join(sorted(stopwordsiso.langs()))
        raise InputError(f"There are no stop words for the language {language!r}: expected one of {known}.")
    return tuple(sorted(stopwordsiso.stopwords(language)))
