"""What is known of one request's candidates, and what is computed ahead of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.categories import CategoryShares
from fuserank_ensemble.candidates.features import FloatArray
from fuserank_ensemble.candidates.pages.layout import Variants
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.profile import UserProfiles
from fuserank_ensemble.interactions.sequence import latest_positions, moments
from fuserank_ensemble.retrieval.channel import ChannelQuery, RankedItems
from fuserank_ensemble.retrieval.evidence import Evidence


@dataclass(frozen=True)
class Found:
    """What was found for one request, before it is described.

    Attributes:
        evidence: The candidates, best fused first, with what the channels know of each.
        categories: The categories that the query means; None where they are not known.
        variants: What is beneath each candidate on a page of tiles; None on any other.
    """

    evidence: Evidence
    categories: CategoryShares | None = None
    variants: list[Variants] | None = None


@dataclass(frozen=True)
class Candidates:
    """One request's candidates.

    Attributes:
        rows: Item rows, best fused first, int32 `[candidates]`.
        features: float32 `[candidates, features]`.
        texts: Row of each candidate's text vector, int32 `[candidates]`.
        events: Rows of the text vectors of the user's latest items, newest first, int32, `spec.events` at most.
        moments: When and how often those were had, float32 `[events, 3]`, see `interactions.sequence`.
        channel_counts: How many items each channel listed, and how many candidates there are, as `fused`.
        degraded: Which channels did not answer, such as `channel:dense`.
        variants: What is beneath each candidate on a page of tiles; None on any other.
    """

    rows: NDArray[np.int32]
    features: FloatArray
    texts: NDArray[np.int32]
    events: NDArray[np.int32]
    moments: FloatArray
    channel_counts: dict[str, int]
    degraded: list[str]
    variants: list[Variants] | None = None

    @classmethod
    def of(
        cls,
        query: ChannelQuery,
        found: Found,
        features: FloatArray,
        items: Items,
        events: int,
        channel_counts: dict[str, int],
        degraded: list[str],
    ) -> Candidates:
        """Joins what was found with its features, and with the latest `events` items of the user's history."""
        rows, latest = found.evidence.rows, latest_positions(query.seen, events)
        return cls(
            rows,
            features,
            items.text[rows],
            items.text[query.seen.rows[latest]],
            moments(query.seen, latest, query.now, events),
            channel_counts | {"fused": len(rows)},
            degraded,
            found.variants,
        )


@dataclass(frozen=True)
class Prefetch:
    """What was computed for some queries before their embeddings were known.

    Attributes:
        lists: By channel its list for each query, by the query's position, of channels that need no embedding; one that
            did not answer is left out.
        profiles: The histories of the queries' users, summed up; None where all are empty.
    """

    lists: dict[str, dict[int, RankedItems]]
    profiles: UserProfiles | None
