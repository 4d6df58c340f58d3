"""Pseudo-relevance feedback: what is near in meaning to the first items of a list has one more vote on its end.

Rocchio, Relevance feedback in information retrieval, 1971, where what is listed first is taken for relevant.
"""

from __future__ import annotations

import numpy as np

from fuserank_ensemble.candidates.channel_search import ChannelSearch
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_ensemble.retrieval.evidence import Evidence
from fuserank_ensemble.retrieval.fusion import K_RRF, reciprocal_rank

FEEDBACK_DEPTH = 512  # candidates of fusion that it reorders
FIRST_TEXTS = 10
WEIGHT = 1.6  # of its votes, as of a channel's


def wants_feedback(query: ChannelQuery, search: ChannelSearch) -> bool:
    """Returns whether it pays for a query: where a log tells what is in demand, that orders the end better."""
    return query.is_embedded and not query.related_only and not search.learned_from_log


def feed_back(evidence: Evidence, items: Items, first: int, search: ChannelSearch) -> Evidence:
    """Returns the candidates, those that the ranker does not compare with their additional votes.

    Args:
        evidence: The candidates, best fused first.
        items: The catalogue.
        first: How many the ranker compares; they stay as they are.
        search: What knows the vectors.
    """
    if len(evidence.rows) <= first:
        return evidence
    texts = items.text[evidence.rows[:FEEDBACK_DEPTH]]
    beginning = np.asarray(list(dict.fromkeys(texts.tolist()))[:FIRST_TEXTS], np.int32)
    nearness = search.cosines(texts, search.mean_vector(beginning))
    added = np.zeros(len(evidence.rows))
    added[np.argsort(-nearness, kind="stable")] = K_RRF * reciprocal_rank(WEIGHT, np.arange(1, len(texts) + 1))
    return evidence.with_tail_votes(added, first)
