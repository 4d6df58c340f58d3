"""Reads synonyms in Solr's format: `left, other => right` a line; `#` begins a comment."""

from __future__ import annotations

from pathlib import Path

from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.catalog.text import normalise
from fuserank_export.sources.report import InputError

_ARROW = "=>"


def read_synonyms(path: Path) -> Synonyms:
    """Reads a file of synonyms; whatever stands left of `=>` is replaced by what stands right of it.

    Raises:
        InputError: Where the file cannot be read, or a line is of another form.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; give a text file in UTF-8") from None
    replacements: dict[str, str] = {}
    for number, raw in enumerate(lines, 1):
        line = normalise(raw.partition("#")[0])
        if not line:
            continue
        left, arrow, right = line.partition(_ARROW)
        phrases, to = [phrase.strip() for phrase in left.split(",")], right.strip()
        if not arrow or not to or not all(phrase[:1].isalnum() for phrase in phrases):
            raise InputError(
                f"{path}, line {number}: found {line!r}; allowed: `coke, pepsi => soft drinks`: phrases that "
                "begin with a letter or a digit, one arrow, and what they mean"
            )
        for phrase in phrases:
            if replacements.setdefault(phrase.lower(), to) != to:
                raise InputError(
                    f"{path}, line {number}: {phrase!r} stood before, for {replacements[phrase.lower()]!r}; a phrase "
                    "has one meaning: leave one of the lines out"
                )
    return Synonyms(replacements)
