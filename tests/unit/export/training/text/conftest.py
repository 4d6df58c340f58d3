"""An indexed catalogue, and training data whose right items follow a rule."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_export.index.catalog import index_catalog
from fuserank_export.sources.catalog import read_catalog
from fuserank_export.training.text.data.candidates import TextData
from fuserank_export.training.text.data.pairs import RankedQuery

WORDS = ("milk", "cheese", "yogurt", "butter", "soap", "towels", "spread", "cream", "drink", "bulb")
CANDIDATES = 6


@pytest.fixture(scope="session")
def tiny_indexed(tiny_shop):
    return index_catalog(read_catalog(tiny_shop.catalog), "{title} | {category} | {brand}")


@pytest.fixture(scope="session")
def planted_pairs():
    """For a word, the texts of the next word are right; the texts of all words are candidates."""
    texts = [f"{word} {brand}" for word in WORDS for brand in ("acme", "zenith")]
    rows = list(range(len(texts)))
    ranked = [
        RankedQuery(word, rows, [int(row // 2 == (i + 1) % len(WORDS)) for row in rows], [])
        for i, word in enumerate(WORDS)
    ]
    return TextData(texts, ranked * 4, ranked, ranked, {"source": "planted"})


@pytest.fixture(scope="session")
def planted():
    """Of six candidates the one with zenith is right for any query; its place in the order is random."""
    draw = np.random.default_rng(3)
    texts: list[str] = []
    parts: list[list[RankedQuery]] = []
    for count in (60, 16, 16):
        part = []
        for _ in range(count):
            right = int(draw.integers(CANDIDATES))
            first = len(texts)
            for i in range(CANDIDATES):
                brand = "zenith" if i == right else "acme"
                texts.append(f"{draw.choice(WORDS)} {brand} {draw.choice(WORDS)}")
            rows = list(range(first, first + CANDIDATES))
            part.append(RankedQuery(str(draw.choice(WORDS)), rows, [int(i == right) for i in range(CANDIDATES)], []))
        parts.append(part)
    return TextData(texts, *parts, {"source": "planted"})
