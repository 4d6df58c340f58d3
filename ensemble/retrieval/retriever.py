"""All channels, fused and described by features: what the `retrieve` stage and the ranker's training share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ensemble.features import FloatArray, Taste, featurise
from ensemble.retrieval.channel import Channel, Hits, Question
from ensemble.retrieval.dense import Dense, TextSearch
from ensemble.retrieval.fusion import ReciprocalRankFusion
from ensemble.retrieval.items import Items, Popularity
from ensemble.retrieval.personal import Personal
from ensemble.retrieval.popular import Popular
from ensemble.spec import GraphSpec


@dataclass(frozen=True)
class Candidates:
    """One request's candidates.

    Attributes:
        rows: Item rows, best fused first, int32 `[candidates]`.
        features: float32 `[candidates, features]`.
        found: How many each channel found, and `fused`.
    """

    rows: NDArray[np.int32]
    features: FloatArray
    found: dict[str, int]


class Retriever:
    """Finds and describes candidates for a batch of questions."""

    def __init__(self, items: Items, popularity: Popularity, texts: TextSearch, spec: GraphSpec) -> None:
        self.items, self.popularity = items, popularity
        self._spec = spec
        self._dense = Dense(texts, items, popularity, spec.dense_texts)
        self._fusion = ReciprocalRankFusion(len(items), spec.channel_depth)
        self._channels: tuple[Channel, ...] = (Personal(), Popular(popularity))

    def retrieve(self, questions: Sequence[Question], limits: Sequence[int]) -> list[Candidates]:
        """Finds candidates for each question.

        Args:
            questions: The requests; those with a query are searched in one scan.
            limits: How many candidates each may have at most.
        """
        asked = [i for i, question in enumerate(questions) if question.has_query]
        near: list[Hits] = [Hits.none()] * len(questions)
        if asked:
            embeddings = np.stack([questions[i].embedding for i in asked])
            depth = [4 * self._spec.channel_depth] * len(asked)
            found = self._dense.search_batch(embeddings, [questions[i].allowed for i in asked], depth)
            for i, hits in zip(asked, found, strict=True):
                near[i] = hits
        return [
            self._one(replace(question, near=hits), limit)
            for question, hits, limit in zip(questions, near, limits, strict=True)
        ]

    def _one(self, question: Question, limit: int) -> Candidates:
        depth = self._spec.channel_depth
        lists = {"dense": question.near} if question.has_query else {}
        lists |= {channel.name: channel.search(question, depth) for channel in self._channels}
        evidence = self._fusion.fuse(lists, limit)
        taste = Taste.of(question.seen, self.items)
        features = featurise(evidence, taste, self.items, self.popularity, question.now, question.has_query)
        found = {name: min(len(hits), depth) for name, hits in lists.items()}
        return Candidates(evidence.rows, features, found | {"fused": len(evidence.rows)})
