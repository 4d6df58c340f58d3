"""The last stage: heads become one score, one order, and reasons."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates import request
from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.candidates.request import PageTrace, ResolvedRequest, RetrievalTrace, Status
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.graph.item_describer import ItemDescriber, words_in_item
from fuserank_ensemble.graph.live.bundle import LiveBundle
from fuserank_ensemble.graph.live.sampling import feature_sample
from fuserank_ensemble.graph.live.state import NO_KIND, STALE, LiveState, open_live
from fuserank_ensemble.graph.step import Host, SearchObserver
from fuserank_ensemble.graph.tensors import Tensors, pack_floats, pack_strings, string_tensor
from fuserank_ensemble.graph.texts import name_query_encoder
from fuserank_ensemble.interactions.dislikes import strengths_of
from fuserank_ensemble.interactions.live.popularity import PopularitySnapshot
from fuserank_ensemble.ranking import reasons
from fuserank_ensemble.ranking.adjustments import Adjustments, CandidatePlaces, adjust
from fuserank_ensemble.ranking.exploration import Clicks, expected_clicks
from fuserank_ensemble.ranking.exposure import limit_exposure
from fuserank_ensemble.ranking.order import (
    Ranked,
    rank_by_score,
    rank_fixed,
    rank_steered,
    rank_varied,
    values_of,
)
from fuserank_ensemble.ranking.reasons import Reader, RuleShift, fusion_parts
from fuserank_ensemble.ranking.rules import NOT_FOUND
from fuserank_ensemble.state.entries import ShadowList

_VERIFIED = (
    *("index/items/", "index/vectors", "index/popularity/", "index/reference"),
    *("index/synonyms", "index/lexical/"),
)


SHADOW_PLACES = 10  # of a list that is logged and not shown


@dataclass(frozen=True)
class _Ordered:
    """A request's list, what was added to its scores, and whether the ranker ordered it."""

    ranked: Ranked
    adjustments: Adjustments
    by_ranker: bool


class Finalize:
    """Weighs the heads, orders as the request asks, and explains."""

    name = "finalize"

    def __init__(self, bundle: Bundle, observer: SearchObserver | None = None, live: LiveState | None = None) -> None:
        """Opens the step; `live` is what happened since the bundle, None where no state is kept."""
        self._bundle, self._observer, self._now = bundle, observer, LiveBundle(bundle, live)
        self._writer = live.writer if live else None
        self._encode = msgspec.json.Encoder().encode
        self._describer = ItemDescriber(bundle)
        self._encoder = name_query_encoder(bundle)

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Finalize:
        """See `Model`. Loads the catalogue's fields; always on the CPU."""
        del device
        bundle = Bundle.open(bundle_root, verify=_VERIFIED)
        return cls(bundle, host.search_observer(bundle), open_live(bundle, host, kinds=NO_KIND, counts_items=True))

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors | InvalidRequestError]:
        """See `Step`."""
        return [self._answer(tensors) for tensors in requests]

    def _answer(self, tensors: Tensors) -> Tensors:
        started = time.monotonic_ns()
        resolved = request.decode_requests(tensors["REQUEST"])
        traces = request.decode_traces(tensors["RETRIEVAL"])
        # All of a row's answer is as of the catalogue that its candidates were found in.
        catalogs = [self._now.catalog_at(trace.catalog) for trace in traces]
        resolved = [
            row.within(len(catalog.items)) if row.catalog > catalog.position else row
            for row, catalog in zip(resolved, catalogs, strict=True)
        ]
        resolved = [
            msgspec.structs.replace(row, diversity=0.0) if "diversity" in trace.degraded else row
            for row, trace in zip(resolved, traces, strict=True)
        ]
        answers = [
            self._row(row, trace.page, catalog, *arrays)
            for row, trace, catalog, *arrays in zip(
                resolved,
                traces,
                catalogs,
                tensors["CANDIDATES"],
                tensors["FEATURES"],
                tensors["HEADS"],
                tensors["CONTRIBUTIONS"],
                strict=True,
            )
        ]
        statuses = [
            self._status(row, trace, catalog, ranked, started)
            for row, trace, catalog, (ranked, _) in zip(resolved, traces, catalogs, answers, strict=True)
        ]
        if self._writer is not None:
            for row, trace, catalog, (ranked, _), features in zip(
                resolved, traces, catalogs, answers, tensors["FEATURES"], strict=True
            ):
                if row.sampled is not None:
                    item_ids = [catalog.items.id_of(item).decode() for item in ranked.rows.tolist()]
                    sample = feature_sample(row, trace, item_ids, ranked.positions, features)
                    if sample is not None:
                        self._writer.write(sample)
        if self._observer:
            rows = zip(resolved, statuses, tensors["CANDIDATES"], tensors["FEATURES"], strict=True)
            for row, status, candidates, features in rows:
                self._observer.observe(row, status, len(candidates), features[candidates >= 0])
        return {
            "ITEM_ID": pack_strings(
                [
                    [catalog.items.id_of(row) for row in ranked.rows.tolist()]
                    for catalog, (ranked, _) in zip(catalogs, answers, strict=True)
                ]
            ),
            "SCORE": pack_floats([ranked.scores for ranked, _ in answers]),
            "ITEM": pack_strings([encoded for _, encoded in answers]),
            "STATUS": string_tensor([[self._encode(status)] for status in statuses]),
        }

    def _row(
        self,
        resolved: ResolvedRequest,
        page: PageTrace | None,
        catalog: CatalogSnapshot,
        candidates: NDArray[np.int32],
        features: NDArray[np.float32],
        heads: NDArray[np.float32],
        contributions: NDArray[np.float32],
    ) -> tuple[Ranked, list[bytes]]:
        """One ranked list, and its items' JSON."""
        rows = candidates[candidates >= 0]
        ordered = self._order(resolved, page, catalog, rows, features, heads)
        ranked = ordered.ranked
        in_shadow = resolved.in_shadow
        if in_shadow is not None and self._writer is not None:
            other = self._order(in_shadow, page, catalog, rows, features, heads).ranked
            self._writer.write(self._shadow_list(resolved, catalog, ranked, other))
        items = self._describer.describe(resolved, page, catalog, ranked, _probabilities(heads[ranked.positions]))
        if resolved.explain:
            # What all candidates share explains no order: a signal counts by how far it sets an item apart.
            if ordered.by_ranker:
                parts = contributions[: len(rows)] @ np.asarray(resolved.weights, np.float32)
            else:
                parts = fusion_parts(features[: len(rows), POSITION["votes"]], self._bundle.layout)
            parts -= parts.mean(0, keepdims=True) if len(rows) else 0.0
            self._explain(items, resolved, catalog, ranked, features, heads, parts, ordered.adjustments)
        return ranked, [self._encode(item) for item in items]

    def _order(
        self,
        resolved: ResolvedRequest,
        page: PageTrace | None,
        catalog: CatalogSnapshot,
        rows: NDArray[np.int32],
        features: NDArray[np.float32],
        heads: NDArray[np.float32],
    ) -> _Ordered:
        """The list that a request's weights, rules, diversity and exploration make of the candidates."""
        depth = self._bundle.spec.candidates
        by_ranker = resolved.ranked_kind in self._bundle.spec.ranked_kinds
        votes = features[: len(rows), POSITION["votes"]]
        scores = heads[: len(rows)] @ np.asarray(resolved.weights, np.float32) if by_ranker else votes
        places = CandidatePlaces.of(catalog.items, rows)
        priors = self._bundle.spec.made_up_queries
        disliked = strengths_of(resolved.disliked_items, rows)
        adjustments = adjust(scores, features[: len(rows)], places, disliked, depth, by_ranker, priors)
        scores = adjustments.add_to(scores)
        if page is not None and not page.is_fixed:
            adjustments, scores = adjustments.keeping_order(scores, depth)
        if page is not None and page.is_fixed:
            return _Ordered(rank_fixed(resolved, rows, scores, catalog.items, depth), adjustments, by_ranker)
        page_of = resolved
        if resolved.shares:  # chooses from the whole list
            resolved = msgspec.structs.replace(resolved, k=len(rows), page=None)
        if not (resolved.steered or resolved.has_query):
            ranked = rank_varied(rows, scores, places.category, resolved.last_place, depth)
        elif resolved.steered:
            known = self._now.popularity
            clicks = _clicks(known, rows, heads, by_ranker) if resolved.explores_by_thompson else None
            ranked = rank_steered(
                resolved,
                rows,
                scores,
                catalog.items,
                catalog.vectors,
                known.popularity.events,
                depth,
                clicks,
            )
        else:
            ranked = rank_by_score(rows, scores, resolved.last_place)
        offset = page_of.page.offset if page_of.page else 0
        if page_of.shares:
            ranked = limit_exposure(ranked, page_of.shares, catalog.items, offset, page_of.k)
        elif page is not None:
            ranked = ranked.part(offset, page_of.k)
        labelled = any(rule.label is not None for rule in page_of.rules)
        return _Ordered(ranked.with_cost(scores, offset) if labelled else ranked, adjustments, by_ranker)

    def _shadow_list(
        self, resolved: ResolvedRequest, catalog: CatalogSnapshot, ranked: Ranked, other: Ranked
    ) -> ShadowList:
        """What the log keeps of a request that two arms answered."""
        assert resolved.shadow is not None
        shown, items = (
            [catalog.items.id_of(row).decode() for row in one.rows[:SHADOW_PLACES].tolist()] for one in (ranked, other)
        )
        return ShadowList(
            event_id=uuid.uuid4().hex,
            user=resolved.shadow.user,
            session=resolved.shadow.session,
            timestamp=time.time(),
            bundle=self._bundle.id,
            arm=resolved.arm,
            shadow=resolved.shadow.arm,
            shown=shown,
            items=items,
            known=resolved.position,
        )

    def _explain(
        self,
        items: list[dict[str, Any]],
        resolved: ResolvedRequest,
        catalog: CatalogSnapshot,
        ranked: Ranked,
        features: NDArray[np.float32],
        heads: NDArray[np.float32],
        parts: NDArray[np.float32],
        adjustments: Adjustments,
    ) -> None:
        """Adds to each item its signals and what the heads say of it."""
        language = resolved.language
        # Without a query there is nothing to be relevant to.
        judged = [(at, head) for at, head in enumerate(HEADS) if resolved.has_query or head != "relevance"]
        chances = _probabilities(heads[ranked.positions])
        reader = Reader(resolved.query, language, resolved.bought, layout=self._bundle.layout, groups=resolved.groups)
        adjusted = adjustments.by_name.items()
        asked = resolved.understood.words if resolved.understood else ""
        for place, (item, position) in enumerate(zip(items, ranked.positions.tolist(), strict=True)):
            score = float(ranked.scores[place])
            if position == NOT_FOUND:
                item["signals"] = reasons.unscored(score, language)
            else:
                moved = None
                if resolved.rules and ranked.shifts is not None and ranked.steps is not None:
                    moved = RuleShift(float(ranked.shifts[position]), float(ranked.steps[position]))
                added = {name: (float(values[position]), float(values.mean())) for name, values in adjusted}
                words = words_in_item(asked, self._bundle, catalog, int(ranked.rows[place])) if asked else []
                item_reader = replace(reader, shared_words=words)
                item["signals"] = reasons.explain(score, parts[position], features[position], item_reader, moved, added)
                item["heads"] = {head: chances[place][at] for at, head in judged}
            if "placed" in item:
                sentence = "pin_unscored" if position == NOT_FOUND else item["placed"]
                item["signals"].append(reasons.placed(sentence, language))

    def _status(
        self, resolved: ResolvedRequest, trace: RetrievalTrace, catalog: CatalogSnapshot, ranked: Ranked, started: int
    ) -> Status:
        now = time.monotonic_ns()
        # The engines keep no clock of their own: theirs is the time between the Python stages, queues included.
        spans = {
            "preprocess": resolved.finished_ns - resolved.started_ns,
            "encoder": trace.started_ns - resolved.finished_ns,
            "retrieve": trace.finished_ns - trace.started_ns,
            "ranker": started - trace.finished_ns,
            "finalize": now - started,
            "total": now - resolved.started_ns,
        }
        understood = resolved.understood.describe(resolved.query) if resolved.understood else {}
        late = ["deadline_passed"] if resolved.deadline_ns and now > resolved.deadline_ns else []
        stale = [STALE] if catalog.position != trace.catalog else []
        return Status(
            bundle=self._bundle.id,
            degraded=list(dict.fromkeys([*resolved.degraded, *trace.degraded, *stale, *late])),
            candidates=trace.candidates,
            microseconds={name: span // 1_000 for name, span in spans.items()},
            returned=len(ranked.rows),
            user_known=resolved.user_known,
            history_unknown=resolved.history_unknown,
            encoder=self._encoder if resolved.has_query else msgspec.UNSET,
            rules=ranked.rules if resolved.rules else msgspec.UNSET,
            understood=understood or msgspec.UNSET,
            explore=ranked.explore if ranked.explore is not None else msgspec.UNSET,
            position=resolved.position if resolved.position is not None else msgspec.UNSET,
            opted_out=resolved.opted_out or msgspec.UNSET,
            arm=resolved.arm or msgspec.UNSET,
            did_you_mean=resolved.did_you_mean or msgspec.UNSET,
            exposure=ranked.exposure if ranked.exposure is not None else msgspec.UNSET,
            sponsored=ranked.sponsored if ranked.sponsored is not None else msgspec.UNSET,
            **_facts(trace.page),
        )


def _facts(page: PageTrace | None) -> dict[str, Any]:
    """What `STATUS` says of a page; nothing where the request asked for none."""
    if page is None:
        return {}
    facts = page.facts
    told = {"facets": facts.facets, "relaxed": facts.relaxed, "without": facts.without}
    return {"total": facts.total, **{name: value for name, value in told.items() if value}}


def _clicks(
    known: PopularitySnapshot, rows: NDArray[np.int32], heads: NDArray[np.float32], ranked_here: bool
) -> Clicks:
    """What is known of how often the candidates are clicked; the head counts where the ranker orders."""
    logits = heads[: len(rows), HEADS.index("click")] if ranked_here else np.zeros(len(rows), np.float32)
    expected = expected_clicks(logits, float(known.impressions.sum()), float(known.clicks.sum()))
    return Clicks(values_of(known.impressions, rows), values_of(known.clicks, rows), expected)


def _probabilities(logits: NDArray[np.float32]) -> list[list[float]]:
    """Each head's probability `[items, heads]`: the sigmoid, by way of tanh, which no logit overflows."""
    chances: list[list[float]] = (0.5 + 0.5 * np.tanh(0.5 * logits.astype(np.float64))).tolist()
    return chances
