"""The third stage: candidates for the ranker, from all channels, with their features."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates import request
from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.candidates.request import ResolvedRequest, RetrievalTrace
from fuserank_ensemble.candidates.retriever import Candidates, Prefetch, Retriever
from fuserank_ensemble.catalog import filters
from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.retrieval.channel import Channel, ChannelQuery
from fuserank_ensemble.serving.triton import Tensors, strings

NEWCOMERS = 16  # candidates that an exploring request has of the channel `new`, whatever the others find
RESERVE_MS = 2.0  # an allowance for finalize (0.3 ms in docs/reports/demo.json) and the hops around it


@dataclass(frozen=True)
class Begun:
    """What `Retrieve.begin` knows of requests.

    Attributes:
        resolved: The requests.
        questions: The same for the channels, without embeddings.
        groups: By kind of request the positions of its questions, and what was asked ahead.
    """

    resolved: list[ResolvedRequest]
    questions: list[ChannelQuery]
    groups: dict[str, tuple[list[int], Prefetch]]


class Retrieve:
    """Finds, fuses and describes candidates, for all requests of a batch at once."""

    name = "retrieve"

    def __init__(self, bundle: Bundle, device: str) -> None:
        self._bundle, self._spec = bundle, bundle.spec
        # For good: requests are answered one batch after the other, and the engines want the other cores.
        threadpool_limits(1, "blas")
        self._retriever = Retriever(bundle.catalog(device), bundle.learned(device), bundle.spec, _milvus(bundle))
        self._mask = lru_cache(maxsize=256)(self._computed_mask)
        self.caches = {"filter": self._mask.cache_info}

    @classmethod
    def open(cls, bundle_root: Path, device: str) -> Retrieve:
        """Loads the index, and checks that the engines are those it was built with."""
        return cls(Bundle.open(bundle_root, verify=("index/", "model_repository/")), device)

    def begin(self, requests: Sequence[Tensors]) -> Begun:
        """What needs no embedding of a query: it may be done in another thread while the encoder runs.

        Args:
            requests: As `execute` takes them; `REQUEST` alone is read.
        """
        resolved = [each for tensors in requests for each in request.decode_requests(tensors["REQUEST"])]
        unknown = np.zeros(self._spec.embedding_dim, np.float32)
        questions = [self._question(each, unknown) for each in resolved]
        groups = {}
        # A kind of request that has weights of its own is asked by itself.
        for kind in {each.kind for each in resolved}:
            mine = [i for i, each in enumerate(resolved) if each.kind == kind]
            groups[kind] = (mine, self._retriever.prefetch([questions[i] for i in mine], kind or None))
        return Begun(resolved, questions, groups)

    def execute(self, requests: Sequence[Tensors], begun: Begun | None = None) -> list[Tensors | InvalidRequestError]:
        """See `Stage`; `begun` is what `begin` answered to the same requests, if it was asked."""
        started = time.monotonic_ns()
        begun = begun or self.begin(requests)
        resolved, sizes = begun.resolved, [len(tensors["REQUEST"]) for tensors in requests]
        embeddings = np.concatenate([tensors["EMBEDDING"] for tensors in requests])
        questions = [replace(each, embedding=v) for each, v in zip(begun.questions, embeddings, strict=True)]
        depths = [self._depth(each) for each in resolved]
        found = self._found(questions, [depth for depth, _ in depths], begun)
        cuts = [["ranker_depth"] if cut else [] for _, cut in depths]
        out: list[Tensors | InvalidRequestError] = []
        for start, size in zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
            mine = slice(int(start), int(start) + size)
            padded = self._padded(found[mine])
            read, unread = self._pairs(resolved[mine], questions[mine], found[mine], padded["CANDIDATES"].shape[1])
            now = time.monotonic_ns()
            traces = [
                [request.encode(RetrievalTrace(c.channel_counts, [*c.degraded, *cut, *skipped], started, now))]
                for c, cut, skipped in zip(found[mine], cuts[mine], unread, strict=True)
            ]
            out.append({**padded, **read, "RETRIEVAL": strings(traces)})
        return out

    def _found(self, questions: Sequence[ChannelQuery], limits: Sequence[int], begun: Begun) -> list[Candidates]:
        """Candidates of each question."""
        found: dict[int, Candidates] = {}
        for kind, (mine, ahead) in begun.groups.items():
            asked = [questions[i] for i in mine]
            group = self._retriever.retrieve(asked, [limits[i] for i in mine], kind or None, ahead)
            found |= zip(mine, group, strict=True)
        return [found[i] for i in range(len(questions))]

    def _question(self, resolved: ResolvedRequest, embedding: NDArray[np.float32]) -> ChannelQuery:
        seen = resolved.history
        allowed: Mask | None = None
        if resolved.filter:
            allowed = self._mask(json.dumps(resolved.filter, sort_keys=True))
        if resolved.exclude_seen and len(seen.rows):
            allowed = np.ones(len(self._bundle.items), np.bool_) if allowed is None else allowed.copy()
            allowed[seen.rows] = False
        return ChannelQuery(
            normalise(resolved.query) if resolved.has_query else "",
            embedding,
            seen,
            resolved.now,
            allowed,
            # What was had is no condition on fields.
            None if resolved.exclude_seen else resolved.filter,
            resolved.context,
            required=self._pinned(resolved, allowed) if resolved.rules else None,
            newcomers=NEWCOMERS if resolved.explore else 0,
        )

    def _pinned(self, resolved: ResolvedRequest, allowed: Mask | None) -> NDArray[np.int32]:
        """Items that rules pin by id and that the request lets be shown, as many as there are places for."""
        found: dict[int, None] = {}
        for rule in resolved.rules:
            if rule.pin is not None:
                rows = [self._bundle.items.row(item_id) for item_id in rule.item_ids or ()]
                shown = [row for row in rows if row >= 0 and (allowed is None or allowed[row])]
                found |= dict.fromkeys(shown[: resolved.k - rule.pin + 1])
        return np.asarray(list(found), np.int32)[: resolved.k]

    def _computed_mask(self, condition: str) -> Mask:
        columns = self._bundle.items.columns
        return filters.parse(json.loads(condition), columns.kinds)(columns)

    def _depth(self, resolved: ResolvedRequest) -> tuple[int, bool]:
        """How many candidates the ranker gets, and whether the deadline made them fewer."""
        buckets = self._spec.candidate_buckets
        least = next((bucket for bucket in buckets if bucket >= resolved.k), buckets[-1])
        # Only a search is ranked: elsewhere the order of fusion stands, and more candidates would be wasted.
        wanted = least if resolved.kind else max(self._spec.candidates, least)
        left = resolved.milliseconds_left() - RESERVE_MS
        fits = [b for b in buckets if least <= b <= wanted and self._bundle.cost.candidates_ms(b) <= left]
        depth = max(fits, default=least)
        return depth, depth < wanted

    def _pairs(
        self,
        resolved: Sequence[ResolvedRequest],
        questions: Sequence[ChannelQuery],
        found: Sequence[Candidates],
        size: int,
    ) -> tuple[dict[str, NDArray[Any]], list[list[str]]]:
        """The (query, item text) pairs of each request's best candidates, where the bundle has a text tower.

        Many candidates may have one text (sizes of a product): the tower reads it once.

        Returns:
            The tensors, and for each request `["text_tower"]` where its deadline leaves the tower no time.
        """
        pairs, count = self._bundle.pairs, self._spec.text_candidates
        unread: list[list[str]] = [[] for _ in found]
        if pairs is None:
            return {}, unread
        joined: list[list[tuple[list[int], list[int]]]] = []
        pair_of = np.full((len(found), count), -1, np.int64)
        for row, (each, question, candidates, skipped) in enumerate(
            zip(resolved, questions, found, unread, strict=True)
        ):
            # Only a search is ranked.
            reads = question.query and not each.kind
            texts, of = np.unique(candidates.texts[:count], return_inverse=True)
            mine = pairs.join(question.query, texts) if reads else []
            left = each.milliseconds_left() - RESERVE_MS - self._bundle.cost.candidates_ms(size)
            if mine and self._bundle.cost.pairs_ms(len(mine), pairs.bucket(mine)) > left:
                mine = []
                skipped.append("text_tower")
            if mine:
                pair_of[row, : len(of)] = of
            joined.append(mine)
        ids, types = pairs.pad(joined, count)
        never = np.full(pair_of.shape, np.nan, np.float32)
        return {"PAIR_IDS": ids, "PAIR_TYPES": types, "PAIR_OF": pair_of, "READ_BEFORE": never}, unread

    def _padded(self, found: Sequence[Candidates]) -> dict[str, NDArray[Any]]:
        """Candidates `[rows, K]` and what the ranker reads of them, in the bucket that holds all.

        -1 pads candidates, NaN features, 0 the rest.
        """
        longest = max(len(candidates.rows) for candidates in found)
        size = next(bucket for bucket in self._spec.candidate_buckets if bucket >= longest)
        rows = np.full((len(found), size), -1, np.int32)
        features = np.full((len(found), size, len(FEATURES)), np.nan, np.float32)
        vectors = np.zeros((len(found), size, self._spec.embedding_dim), np.float32)
        events = np.zeros((len(found), self._spec.events, self._spec.embedding_dim), np.float32)
        for i, candidates in enumerate(found):
            count = len(candidates.rows)
            rows[i, :count], features[i, :count] = candidates.rows, candidates.features
            # Each text once: numpy takes longer to widen fp16 than to copy.
            texts, of = np.unique(np.concatenate([candidates.texts, candidates.events]), return_inverse=True)
            widened = self._bundle.vectors[texts].astype(np.float32)
            vectors[i, :count], events[i, : len(candidates.events)] = widened[of[:count]], widened[of[count:]]
        return {
            "CANDIDATES": rows,
            "FEATURES": features,
            "VECTORS": vectors,
            "EVENTS": events,
            "MOMENTS": np.stack([candidates.moments for candidates in found]),
        }


def _milvus(bundle: Bundle) -> Channel | None:
    """The dense channel of a bundle whose vectors were sent to Milvus; the environment may say where it is now."""
    filled = bundle.manifest.get("milvus")
    if filled is None:
        return None
    from fuserank_ensemble.retrieval.milvus.dense import MilvusDenseChannel  # noqa: PLC0415  an extra

    uri = os.environ.get("FUSERANK_MILVUS_URI", filled["uri"])
    token = os.environ.get("FUSERANK_MILVUS_TOKEN", "")
    return MilvusDenseChannel(uri, token, filled["collection"], bundle.items.columns.kinds)
