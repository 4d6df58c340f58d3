"""The step `learn`: what the channels search, from the catalogue's words and vectors and from the log."""

from __future__ import annotations

import time
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import SYNONYMS, TOKENIZER
from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.catalog.tokens import EncoderVocabulary
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.lexical.phrases import collect_phrases
from fuserank_ensemble.retrieval.lexical.shorthand import Spoken
from fuserank_ensemble.retrieval.lexical.suggest import Suggester
from fuserank_ensemble.retrieval.vectors.build import build_index
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.builder.query_counts import QueryPrivacy, count_queries
from fuserank_export.index.catalog import Indexed
from fuserank_export.index.units import unit_table
from fuserank_export.learning.interactions import learn
from fuserank_export.learning.query_synonyms import LEAST_USERS, learn_synonyms
from fuserank_export.memory import arrays_apart, release_memory
from fuserank_export.progress import Progress
from fuserank_export.sources import Interactions
from fuserank_export.training.cases.span import LogSpan
from fuserank_export.training.cases.split import window_bounds


def learn_channels(
    folder: Path,
    indexed: Indexed,
    log: Interactions,
    vectors: NDArray[np.float16],
    *,
    spec: GraphSpec,
    seed: int,
    progress: Progress,
    privacy: QueryPrivacy,
) -> dict[str, Any]:
    """Writes what the channels search.

    Args:
        folder: A bundle's `index/`, with the catalogue's arrays.
        indexed: The catalogue.
        log: The log; may be empty.
        vectors: The texts' vectors, float16 `[texts, dim]`.
        spec: The graph, whose weights of fields the words are indexed with.
        seed: Of everything random.
        progress: Shows the steps.
        privacy: Which queries of the log are shown to others, as suggestions and as learned synonyms.

    Returns:
        A report, the manifest's `search`.
    """
    # A few wrong clocks do not make all that happened look old.
    end = LogSpan.of(log.timestamp).end if len(log) else time.time()
    with progress.steps() as advanced:
        interactions, report = learn(
            folder, log, indexed.shop, end, seed, lambda *step: advanced("learning from the log and the graph", *step)
        )
    counts = interactions.popularity.counts
    del interactions  # the indexes over its vectors
    with progress.step("indexing words and vectors"):
        report["dense"] = build_index(vectors, folder / "vectors.faiss")
        searched = indexed.searched
        words = LexicalIndex.write(folder / "lexical", searched, spec.lexical_fields, unit_table(), spec.code_fields)
        report["lexical"] = {"items_with_words": words}
    report["synonyms"] = _learn_synonyms(folder, searched, indexed.synonyms, log, progress, privacy)
    release_memory()  # what the index of words took: the completions take as much
    with progress.step("indexing completions"):
        language = EncoderVocabulary(folder / TOKENIZER)
        report["suggest"] = write_completions(folder, indexed, counts, log, language, privacy)
    return report


def write_completions(
    folder: Path,
    indexed: Indexed,
    counts: NDArray[np.float32],
    log: Interactions,
    language: Container[str],
    privacy: QueryPrivacy,
) -> dict[str, Any]:
    """Writes what completes queries, and returns a report.

    People type names, addresses and numbers of their own into a search box: what few have asked is shown to nobody.

    Args:
        folder: A bundle's `index/`.
        indexed: The items, whose titles, brands and categories are suggested.
        counts: The events of each item `[items]`.
        log: The log, whose queries are completed, too.
        language: The words that are one token of the encoder.
        privacy: Which queries of the log are suggested.
    """
    query_counts = count_queries(log, privacy)
    columns = indexed.items.columns
    completions = collect_phrases(indexed.titles, counts, query_counts, columns, Spoken(language))
    with arrays_apart():  # what merging took is the system's again while the index is written
        return {"phrases": Suggester.write(folder / "suggest", completions), **privacy.to_report()}


def _learn_synonyms(
    folder: Path,
    records: Sequence[dict[str, Any]],
    given: Synonyms,
    log: Interactions,
    progress: Progress,
    privacy: QueryPrivacy,
) -> dict[str, Any]:
    """Writes the shop's synonyms with those that its log teaches, and returns a report.

    The last of the windows that the ranker is trained on teaches none: it is what the ranker is measured on. Under
    differential privacy the log teaches none at all.
    """
    learned: dict[str, str] = {}
    if log.has_queries and privacy.epsilon is None:
        with progress.step("learning synonyms from queries"):
            before = window_bounds(log.timestamp, LogSpan.of(log.timestamp))[-2]
            has_word = LexicalIndex.open(folder / "lexical").has_word
            least = max(LEAST_USERS, privacy.min_users)
            learned = learn_synonyms(log, records, given, has_word, before, least_users=least)
    if learned:
        examples = "; ".join(f"{word} → {meant}" for word, meant in list(learned.items())[:3])
        progress.note(
            f"{len(learned):,} words of queries that no item has were learned from the log: {examples}. The bundle's "
            "manifest lists them; a line `word => word` in --synonyms leaves one as it is"
        )
    Synonyms({**learned, **given.replacements}).save(folder / SYNONYMS)
    return {"given": len(given), "learned": learned}
