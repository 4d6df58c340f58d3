"""What a small query encoder learns from: texts like queries, of the catalogue, of the log and of the language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.text import normalise, query_text, render
from fuserank_export.index.shop import bundle_records
from fuserank_export.training.cases.rewording import reword

ITEMS = 50_000  # of the catalogue's distinct texts that are taken apart, evenly spaced
WORDS = 30_000  # of the encoder's vocabulary, the first ones: they are about in the order of how common they are
COMMON = 30  # the rank from which a word is half as common, as in Zipf's law
MOST_WORDS, FEW_WORDS = 6, 3  # of a phrase, alone and beside other words
_PARTS = re.compile(r"\. |, |; | \| ")  # what `render` and people put between the parts of an item's text


@dataclass(frozen=True)
class TextSources:
    """What texts are made of.

    Attributes:
        phrases: Distinct parts of the items' texts: titles, brands, levels of categories, parts of descriptions.
        words: Whole words that are one token of the encoder, the most common first.
        queries: What people asked for.
    """

    phrases: Sequence[str]
    words: Sequence[str]
    queries: Sequence[str]

    @classmethod
    def of_bundle(cls, bundle: Bundle, queries: Sequence[str]) -> TextSources:
        """Takes a bundle's catalogue and its encoder's vocabulary; `queries` are those of the log and of judgements."""
        records = bundle_records(bundle)
        rows = np.unique(bundle.items.text, return_index=True)[1]  # one item of each text
        rows = np.sort(rows)[:: -(-len(rows) // ITEMS)]
        texts = (render(bundle.spec.text_template, records[row]).lower() for row in rows.tolist())
        phrases = sorted({part.strip() for text in texts for part in _PARTS.split(text)} - {""})
        parse = bundle.query_parser.parse
        asked = sorted({parse(query).text for query in queries} - {""})
        return cls(phrases, vocabulary_words(Tokenizer.from_file(str(bundle.tokenizer))), asked)


def vocabulary_words(tokenizer: Tokenizer) -> list[str]:
    """Returns the words of at least two letters that are one token, in the order of their ids."""
    ids = range(tokenizer.get_vocab_size())
    decoded = [text.strip() for text in tokenizer.decode_batch([[number] for number in ids])]
    likely = [(number, word) for number, word in zip(ids, decoded, strict=True) if len(word) > 1 and word.isalpha()]
    encodings = tokenizer.encode_batch([word for _, word in likely], add_special_tokens=False)
    words = [word for (number, word), read in zip(likely, encodings, strict=True) if read.ids == [number]]
    return words[:WORDS]


def draw_texts(sources: TextSources, count: int, query_template: str, seed: int) -> list[str]:
    """Draws distinct texts as the encoder reads queries.

    Every word, phrase and query is one, up to half of `count` of each kind. The others are some words of a phrase, of
    two, the same worded as people do, and words of the shop among common ones of the language: what people ask for in
    their own words is made of these.

    Args:
        sources: What they are made of.
        count: How many, about; fewer where the shop has few words.
        query_template: See `GraphSpec.query_template`.
        seed: Of the draws.
    """
    draw = np.random.default_rng(seed)
    texts: dict[str, None] = {}
    for whole in (sources.words, sources.phrases, sources.queries):
        chosen = draw.permutation(len(whole))[: count // 2]
        texts |= dict.fromkeys(normalise(whole[at]) for at in chosen)
    drawn = _drawn_texts(sources, draw)
    # A small shop has no more of its own: what comes twice is left out, and asked for no more often than once.
    texts |= dict.fromkeys(normalise(next(drawn)) for _ in range(max(0, count - len(texts))))
    return [query_text(query_template, text) for text in texts if text]


def _drawn_texts(sources: TextSources, draw: np.random.Generator) -> Iterator[str]:
    """Yields texts by turns of every kind, without end."""
    phrases = sources.phrases or sources.words
    own = sorted({word for phrase in phrases for word in phrase.split()})
    common = 1 / (np.arange(len(sources.words)) + COMMON)
    cumulated = np.cumsum(common) / common.sum() if len(common) else common

    def some_words(most: int = FEW_WORDS) -> str:
        return _some_words(phrases[int(draw.integers(len(phrases)))], most, draw)

    def word_of_language() -> str:
        if not len(cumulated):
            return own[int(draw.integers(len(own)))]
        return sources.words[int(np.searchsorted(cumulated, draw.random() * cumulated[-1]))]

    def among_common(share: float) -> str:
        count = int(draw.integers(2, MOST_WORDS + 1))
        chosen = draw.random(count) < share
        return " ".join(word_of_language() if common else own[int(draw.integers(len(own)))] for common in chosen)

    def any_word() -> str:
        words = sources.words or own
        return words[int(draw.integers(len(words)))]

    # How often each comes by turns.
    kinds: Sequence[tuple[int, Callable[[], str]]] = (
        (2, lambda: some_words(MOST_WORDS)),
        (3, lambda: f"{some_words()} {some_words()}"),
        (1, lambda: reword(some_words(MOST_WORDS), draw)),
        (1, lambda: f"{any_word()} {some_words()}" if draw.random() < 0.5 else f"{some_words()} {any_word()}"),
        (1, lambda: f"{any_word()} {any_word()}"),
        (6, lambda: among_common(0.5)),
        (3, lambda: among_common(1.0)),
    )
    while True:
        for times, kind in kinds:
            yield from (kind() for _ in range(times))


def _some_words(phrase: str, most: int, draw: np.random.Generator) -> str:
    """Some words of a phrase in their order; of one without spaces (Chinese) a run of characters."""
    parts = phrase.split() if " " in phrase or phrase.isascii() else list(phrase)
    joint = " " if len(parts) == len(phrase.split()) else ""
    count = int(draw.integers(1, min(most, len(parts)) + 1))
    if not joint or draw.random() < 0.5:
        start = int(draw.integers(len(parts) - count + 1))
        return joint.join(parts[start : start + count])
    return joint.join(parts[at] for at in np.sort(draw.permutation(len(parts))[:count]))
