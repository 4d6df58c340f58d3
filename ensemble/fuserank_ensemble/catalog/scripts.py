"""Scripts that texts are written in, such as Latin, Cyrillic or Chinese characters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

# The letters of each script, as ranges of a regular expression.
SCRIPTS: Mapping[str, str] = {
    "latin": "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "cyrillic": "\u0400-\u052f",
    "armenian": "\u0531-\u0587",
    "hebrew": "\u05d0-\u05f2",
    "arabic": "\u0620-\u065f\u066e-\u06d3\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc",
    "devanagari": "\u0900-\u0963\u0970-\u097f",
    "bengali": "\u0980-\u09e3",
    "tamil": "\u0b80-\u0be5",
    "thai": "\u0e01-\u0e4e",
    "georgian": "\u10a0-\u10ff",
    "hangul": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3",
    "kana": "\u3041-\u30ff\uff66-\uff9d",
    "han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af",
}
_RUNS = re.compile("|".join(f"(?P<{name}>[{letters}]+)" for name, letters in SCRIPTS.items()))


def script_runs(text: str) -> list[tuple[str, str]]:
    """Returns the runs of letters of one script in a text, each with its script, in order."""
    return [(str(match.lastgroup), match.group()) for match in _RUNS.finditer(text)]


def count_letters(text: str) -> Counter[str]:
    """Returns how many letters of each script a text has."""
    counts: Counter[str] = Counter()
    for script, run in script_runs(text):
        counts[script] += len(run)
    return counts


def is_written_in(text: str, scripts: Collection[str]) -> bool:
    """Whether at least half of a text's letters are of some scripts."""
    if not scripts or (text.isascii() and "latin" not in scripts):
        return False
    counts = count_letters(text)
    return 0 < counts.total() <= 2 * sum(counts[script] for script in scripts)


def blank_unread(
    embeddings: NDArray[np.float32], texts: Sequence[str], scripts: Collection[str]
) -> NDArray[np.float32]:
    """Returns embeddings with zeros for the texts that are written in scripts which the encoder does not know.

    Args:
        embeddings: One a text, float32 `[texts, dim]`.
        texts: What they are of.
        scripts: The scripts, see `GraphSpec.unread_scripts`.
    """
    unread = [is_written_in(text, scripts) for text in texts]
    return np.where(np.asarray(unread)[:, None], np.float32(0.0), embeddings) if any(unread) else embeddings
