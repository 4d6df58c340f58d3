"""The step `retrieve`: candidates for the ranker, from all channels, with their features."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates import request
from fuserank_ensemble.candidates.candidate_set import Candidates, Prefetch
from fuserank_ensemble.candidates.cost import RESERVE_MS
from fuserank_ensemble.candidates.request import RankerInputs, ResolvedRequest, RetrievalTrace
from fuserank_ensemble.candidates.retriever import request_kind
from fuserank_ensemble.catalog import filters
from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.catalog.scripts import is_written_in
from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.caches import CacheCounts
from fuserank_ensemble.graph.live.bundle import LiveBundle
from fuserank_ensemble.graph.live.state import NO_KIND, STALE, LiveState, open_live
from fuserank_ensemble.graph.load_level import TOLD, LoadLevel, Part, shed
from fuserank_ensemble.graph.pages import Page, PageMaker, excluded_rows, without_rows
from fuserank_ensemble.graph.readings import Readings
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.graph.tensors import Tensors, string_tensor
from fuserank_ensemble.interactions.dislikes import clearly_disliked, mask_disliked
from fuserank_ensemble.retrieval.channel import ChannelQuery, Knowledge, MatchScope, RankedItems
from fuserank_ensemble.retrieval.vectors.half import to_float32

NEWCOMERS = 16  # candidates that an exploring request has of the channel `new`, whatever the others find


@dataclass(frozen=True)
class Prefetched:
    """What is known of requests before their queries are encoded.

    Attributes:
        resolved: The requests.
        shed: What each goes without, since more is asked than is answered.
        queries: The same for the channels, without embeddings.
        groups: By kind of request the positions of its queries, and what the channels have found ahead.
        catalog: The catalogue that all of them are answered from.
        popularity: Up to where all users' events count.
        first_users: Up to where it counts who had new items; None where that differs by item.
    """

    resolved: list[ResolvedRequest]
    shed: list[frozenset[Part]]
    queries: list[ChannelQuery]
    groups: dict[str, tuple[list[int], Prefetch]]
    catalog: CatalogSnapshot
    popularity: int
    first_users: int | None


@dataclass(frozen=True)
class ChannelTrace:
    """Where a request's candidates come from; made to explain a reply, serving makes none.

    Attributes:
        resolved: The request.
        query: The same as the channels take it.
        catalog: The catalogue that it is answered from.
        weights: Of the channels' votes.
        lists: What each channel lists.
        knowledge: What each channel can know.
        unavailable: Channels that did not answer.
        fused: Item rows of everything that is listed, best fused first, int32.
    """

    resolved: ResolvedRequest
    query: ChannelQuery
    catalog: CatalogSnapshot
    weights: Mapping[str, float]
    lists: Mapping[str, RankedItems]
    knowledge: Mapping[str, Knowledge]
    unavailable: Sequence[str]
    fused: NDArray[np.int32]


class Retrieve:
    """Finds, fuses and describes candidates, for all requests of a batch at once."""

    name = "retrieve"
    prefetch_inputs = ("REQUEST",)

    def __init__(
        self, bundle: Bundle, device: str, live: LiveState | None = None, load: LoadLevel | None = None
    ) -> None:
        """Opens the index.

        Args:
            bundle: The bundle.
            device: Where the index is searched.
            live: What happened since the bundle; None where no state is kept.
            load: Whether more is asked than is answered; None leaves nothing out.
        """
        self._load = load
        self._bundle, self._spec = bundle, bundle.spec
        self._width = len(bundle.layout.features)
        self._now = LiveBundle(bundle, live, search_on=device)
        self._retriever = self._now.search_at(0).retriever
        self._mask = lru_cache(maxsize=256)(self._compute_mask)
        self._pages = PageMaker(self._spec.candidates)
        self._readings = Readings(bundle)
        self.caches: dict[str, Callable[[], CacheCounts]] = {
            "filter": self._mask.cache_info,
            "text_lists": lambda: self._retriever.text_lists,
        }

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Retrieve:
        """See `Model`. Loads the index, and checks that the engines are those it was built with."""
        bundle = Bundle.open(bundle_root, verify=("index/", "model_repository/"))
        live = open_live(bundle, host, kinds=NO_KIND, search_on=device)
        return cls(bundle, device, live, LoadLevel(bundle.spec.max_batch))

    def prefetch(self, requests: Sequence[Tensors]) -> Prefetched:
        """Does what needs no embedding of a query, such as searching words.

        Args:
            requests: As `execute` takes them; `REQUEST` alone is read.
        """
        resolved = [row for tensors in requests for row in request.decode_requests(tensors["REQUEST"])]
        catalog, self._retriever, counted = self._now.search_at(max(row.catalog for row in resolved))
        items = len(catalog.items)
        resolved = [row.within(items) if row.catalog > catalog.position else row for row in resolved]
        unknown = np.zeros(self._spec.embedding_dim, np.float32)
        parts = self._load.observe(len(requests)) if self._load else frozenset()
        kept = [shed(row, parts) for row in resolved]
        resolved, left_out = [row for row, _ in kept], [without for _, without in kept]
        queries = [
            self._channel_query(row, unknown, catalog, text_channels_only="channels" in without)
            for row, without in kept
        ]
        groups = {}
        # A kind of request that has weights of its own is searched by itself.
        for kind in {row.kind for row in resolved}:
            members = [i for i, row in enumerate(resolved) if row.kind == kind]
            groups[kind] = (members, self._retriever.prefetch([queries[i] for i in members], kind or None))
        return Prefetched(resolved, left_out, queries, groups, catalog, counted, self._folded_to())

    def _folded_to(self) -> int | None:
        """Up to where it counts who had new items; None where that differs by item."""
        factors = self._retriever.factors
        return factors.first_users.position if factors else 0

    def execute(
        self, requests: Sequence[Tensors], prefetched: Prefetched | None = None
    ) -> list[Tensors | InvalidRequestError]:
        """See `Step`; `prefetched` is what `prefetch` returned for the same requests, where it was asked."""
        started = time.monotonic_ns()
        ahead = prefetched or self.prefetch(requests)
        resolved, sizes = ahead.resolved, [len(tensors["REQUEST"]) for tensors in requests]
        embeddings = np.concatenate([tensors["EMBEDDING"] for tensors in requests])
        queries = [replace(query, embedding=v) for query, v in zip(ahead.queries, embeddings, strict=True)]
        depths = [self._depth(*each) for each in zip(resolved, ahead.shed, strict=True)]
        catalog = ahead.catalog
        pages = [
            self._pages.make(row, query, self._retriever, self._holds(catalog.position), depth)
            for row, query, (depth, _) in zip(resolved, queries, depths, strict=True)
        ]
        candidates = self._candidates(queries, [depth for depth, _ in depths], pages, ahead)
        cuts = [
            [
                *(part for part in TOLD if part in without),
                *(["ranker_depth"] if cut else []),
                *([STALE] if row.catalog > catalog.position else []),
            ]
            for row, without, (_, cut) in zip(resolved, ahead.shed, depths, strict=True)
        ]
        out: list[Tensors | InvalidRequestError] = []
        for start, size in zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
            rows = slice(int(start), int(start) + size)
            described = self._pad(candidates[rows], catalog)
            asked = zip(resolved[rows], ahead.shed[rows], queries[rows], candidates[rows], strict=True)
            pairs, skipped = self._readings.make(list(asked), described["CANDIDATES"].shape[1], catalog)
            traces = [
                [
                    request.encode(
                        RetrievalTrace(
                            c.channel_counts,
                            [*c.degraded, *cut, *left_out],
                            started,
                            time.monotonic_ns(),
                            catalog.position,
                            page.trace(c) if page else None,
                            ahead.popularity,
                            ahead.first_users,
                            _ranker_inputs(embedding, c) if row.sampled else None,
                        )
                    )
                ]
                for row, embedding, c, page, cut, left_out in zip(
                    resolved[rows], embeddings[rows], candidates[rows], pages[rows], cuts[rows], skipped, strict=True
                )
            ]
            out.append({**described, **pairs, "RETRIEVAL": string_tensor(traces)})
        return out

    def trace(self, tensors: Tensors) -> ChannelTrace:
        """Returns where the candidates of a request of one row come from; arguments as one of `execute`'s."""
        ahead = self.prefetch([tensors])
        resolved, query = ahead.resolved[0], replace(ahead.queries[0], embedding=tensors["EMBEDDING"][0])
        kind = resolved.kind or request_kind(query)
        lists, unavailable = self._retriever.search_channels([query], [kind])
        (everything,) = self._candidates([query], [len(ahead.catalog.items)], [None], ahead)
        return ChannelTrace(
            resolved,
            query,
            ahead.catalog,
            self._spec.channel_weights[kind],
            lists[0],
            self._retriever.knowledge,
            unavailable,
            everything.rows,
        )

    def _candidates(
        self, queries: list[ChannelQuery], limits: Sequence[int], pages: Sequence[Page | None], ahead: Prefetched
    ) -> list[Candidates]:
        """Returns the candidates of each query."""
        candidates: dict[int, Candidates] = {}
        unread = [i for i, query in enumerate(queries) if is_written_in(query.query, self._spec.unread_scripts)]
        by_words = {i: replace(queries[i], embedding=np.zeros_like(queries[i].embedding)) for i in unread}
        # Pages are cut before they are described: theirs are found by words alone.
        asked = [by_words.get(i, query) if pages[i] else query for i, query in enumerate(queries)]
        for kind, (members, prefetch) in ahead.groups.items():
            group = self._retriever.retrieve(
                [asked[i] for i in members],
                [limits[i] for i in members],
                kind or None,
                prefetch,
                [page.lay_out if (page := pages[i]) else None for i in members],
            )
            candidates |= zip(members, group, strict=True)
        unread = [i for i in unread if pages[i] is None]
        if unread:
            # What meaning found fills the list up, behind what the words found.
            described = self._retriever.describe([by_words[i] for i in unread], [candidates[i].rows for i in unread])
            candidates |= zip(unread, described, strict=True)
        return [candidates[i] for i in range(len(queries))]

    def _channel_query(
        self,
        resolved: ResolvedRequest,
        embedding: NDArray[np.float32],
        catalog: CatalogSnapshot,
        *,
        text_channels_only: bool,
    ) -> ChannelQuery:
        seen, items = resolved.history, catalog.items
        allowed, shared = items.visible, str(self._retriever.visibility)
        if resolved.filter:
            condition = json.dumps(resolved.filter, sort_keys=True)
            allowed, shared = self._mask(catalog.position, condition), f"{catalog.position} {condition}"
        disliked, excluded = resolved.disliked_items, excluded_rows(resolved, items)
        allowed = without_rows(allowed, excluded, len(items))
        bad = clearly_disliked(disliked)
        spares = len(bad) > 0 and not resolved.has_query
        if spares:
            # A page leaves out what the pages before and behind it do.
            least = resolved.k if resolved.page is None else self._spec.candidates
            liking = mask_disliked(items, bad, seen.rows, least, allowed)
            allowed = liking if allowed is None else allowed & liking
        return ChannelQuery(
            _search_text(resolved),
            embedding,
            seen,
            resolved.now,
            allowed,
            # What was had, disliked or hidden is no condition on fields, and changed fields are in this process alone.
            None if len(excluded) or spares or catalog.is_changed else resolved.filter,
            resolved.context,
            required=_pinned(resolved, items, allowed) if resolved.rules else None,
            newcomers=NEWCOMERS if resolved.explore else 0,
            understood=resolved.understood,
            segments=resolved.segments,
            disliked=disliked,
            scope=None if resolved.page is None else MatchScope(items.visible, allowed is not items.visible),
            shared_mask=None if len(excluded) or spares else shared,
            text_channels_only=text_channels_only,
        )

    def _holds(self, position: int) -> Callable[[Mapping[str, Any]], Mask]:
        """What returns which items a filter lets be shown in the present catalogue, whose position is given."""
        return lambda condition: self._mask(position, json.dumps(condition, sort_keys=True))

    def _compute_mask(self, position: int, condition: str) -> Mask:
        """Which items a filter lets be shown in the present catalogue, whose position keys the cache of the masks."""
        del position
        items = self._retriever.items
        mask = filters.parse(json.loads(condition), items.columns.kinds)(items.columns)
        return mask if items.visible is None else mask & items.visible

    def _depth(self, resolved: ResolvedRequest, without: frozenset[Part]) -> tuple[int, bool]:
        """Returns how many candidates the ranker gets, and whether the deadline or the load made them fewer."""
        buckets = self._spec.candidate_buckets
        least = next((bucket for bucket in buckets if bucket >= resolved.last_place), buckets[-1])
        # Only a search is ranked: elsewhere the order of fusion stands, and more candidates would be wasted.
        wanted = least if resolved.kind else max(self._spec.candidates, least)
        left = resolved.milliseconds_left() - RESERVE_MS
        if "ranker_depth" in without:
            return least, least < wanted
        fits = [b for b in buckets if least <= b <= wanted and self._bundle.cost.candidates_ms(b) <= left]
        depth = max(fits, default=least)
        return depth, depth < wanted

    def _pad(self, candidates: Sequence[Candidates], catalog: CatalogSnapshot) -> dict[str, NDArray[Any]]:
        """Returns the candidates `[rows, K]` and what the ranker reads of them, in the bucket that holds all.

        -1 pads candidates, NaN features, 0 the rest.
        """
        longest = max(len(listed.rows) for listed in candidates)
        size = next(bucket for bucket in self._spec.candidate_buckets if bucket >= longest)
        rows = np.full((len(candidates), size), -1, np.int32)
        features = np.full((len(candidates), size, self._width), np.nan, np.float32)
        vectors = np.zeros((len(candidates), size, self._spec.embedding_dim), np.float32)
        events = np.zeros((len(candidates), self._spec.events, self._spec.embedding_dim), np.float32)
        for i, listed in enumerate(candidates):
            count = len(listed.rows)
            rows[i, :count], features[i, :count] = listed.rows, listed.features
            vectors[i, :count] = to_float32(catalog.vectors[listed.texts])
            events[i, : len(listed.events)] = to_float32(catalog.vectors[listed.events])
        return {
            "CANDIDATES": rows,
            "FEATURES": features,
            "VECTORS": vectors,
            "EVENTS": events,
            "MOMENTS": np.stack([listed.moments for listed in candidates]),
        }


def _ranker_inputs(embedding: NDArray[np.float32], candidates: Candidates) -> RankerInputs:
    """What the ranker reads of a request beside its features."""
    events = candidates.events
    moments = candidates.moments[: len(events)]
    return RankerInputs(embedding.tobytes(), candidates.texts.tobytes(), events.tobytes(), moments.tobytes())


def _pinned(resolved: ResolvedRequest, items: Items, allowed: Mask | None) -> NDArray[np.int32]:
    """Returns the rows that rules pin by id and that the request may show, as many as there are places for."""
    pinned: dict[int, None] = {}
    for rule in resolved.rules:
        if rule.pin is not None:
            rows = [items.row(item_id) for item_id in rule.item_ids or ()]
            visible = [row for row in rows if row >= 0 and (allowed is None or allowed[row])]
            pinned |= dict.fromkeys(visible[: resolved.last_place - rule.pin + 1])
    return np.asarray(list(pinned), np.int32)[: resolved.last_place]


def _search_text(resolved: ResolvedRequest) -> str:
    """What the channels search for; empty without a query."""
    if not resolved.has_query:
        return ""
    return resolved.understood.text if resolved.understood else normalise(resolved.query)
