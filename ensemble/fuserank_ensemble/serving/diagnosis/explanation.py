"""Why an item stands where it stands in an answer, or where on the way it was lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from fuserank_ensemble.catalog import filters
from fuserank_ensemble.contract.options import DEFAULT_K, MAX_K
from fuserank_ensemble.contract.page import MAX_LISTED
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.steps.retrieve import ChannelTrace, Retrieve
from fuserank_ensemble.graph.tensors import Tensors

DEEPER = 4_096  # items that each channel lists where its own list has not the item
Outcome = Literal[
    "shown",  # in the answer
    "ranked",  # behind the places that were asked for
    "cut",  # found, and fused behind the candidates that are ranked
    "not found",  # listed by no channel
    "had",  # the user had it, and asked for what is new
    "disliked",
    "hidden",
    "filtered",
    "deleted",
    "unknown",  # the bundle has no such item
]


@dataclass(frozen=True)
class ChannelFinding:
    """What one channel makes of the item.

    Attributes:
        channel: Its name.
        weight: Of its votes for this kind of request.
        rank: The item's place in its list, from 1; None where it does not list it.
        deeper: Its place in a longer list; None where it is not there either, or in the channel's own.
        note: Why it has no vote, in words; empty where it has one.
    """

    channel: str
    weight: float
    rank: int | None = None
    deeper: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Explanation:
    """What became of an item.

    Attributes:
        item: Its id.
        bundle: The bundle's id.
        outcome: What became of it.
        sentence: The same in words.
        fields: The item's fields.
        channels: Of every channel.
        fused: Its place among all that was found, from 1; None where nothing found it.
        found: How many items were found.
        candidates: How many of them were ranked.
        by_ranker: Whether the ranker ordered them, or fusion.
        place: Its place in the answer, from 1; None where it has none.
        score: What it was ordered by.
        signals: As `ITEM` has them: contributions add up to the score.
        beside: The last item that is shown, with its own signals; empty where the item itself is shown.
        status: The answer's `STATUS`.
    """

    item: str
    bundle: str
    outcome: Outcome
    sentence: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    channels: Sequence[ChannelFinding] = ()
    fused: int | None = None
    found: int = 0
    candidates: int = 0
    by_ranker: bool = False
    place: int | None = None
    score: float | None = None
    signals: Sequence[Mapping[str, Any]] = ()
    beside: Mapping[str, Any] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)


def explain_item(graph: LocalGraph, item: str, query: str, user: str, options: Mapping[str, Any]) -> Explanation:
    """Asks a bundle's graph, and follows one item through it.

    Args:
        graph: The graph.
        item: The item's id.
        query: The query; may be empty.
        user: Who asks; may be empty.
        options: Of `search`.

    Raises:
        InvalidRequestError: Where the graph refuses the request.
    """
    asked = {"k": DEFAULT_K, **options, "explain": True}
    stages = dict(graph.trace([(query, user, asked)]))
    trace = Retrieve(graph.bundle, "cpu", graph.live).trace(stages["retrieve"])
    status = json.loads(stages["search"]["STATUS"][0, 0])
    row = trace.catalog.items.any_row(item)
    if row < 0:
        sentence = f"bundle {graph.bundle.id} has no item {item}: export the catalogue with it, or send it to `catalog`"
        return Explanation(item, graph.bundle.id, "unknown", sentence, status=status)
    ranked = stages["finalize"]["CANDIDATES"][0]
    places = np.flatnonzero(trace.fused == row)
    base = Explanation(
        item=item,
        bundle=graph.bundle.id,
        outcome="shown",
        sentence="",
        fields=trace.catalog.records.fields(row),
        channels=_findings(graph, trace, row, stages["retrieve"]),
        fused=int(places[0]) + 1 if len(places) else None,
        found=len(trace.fused),
        candidates=int((ranked >= 0).sum()),
        by_ranker=trace.resolved.ranked_kind in graph.bundle.spec.ranked_kinds,
        status=status,
    )
    refused = _refusal(trace, row, base.fields)
    if refused is not None:
        return replace(base, outcome=refused[0], sentence=refused[1])
    if row not in ranked:
        return _lost(base)
    return _placed(graph, base, query, user, asked, stages["search"])


def _refusal(trace: ChannelTrace, row: int, fields: Mapping[str, Any]) -> tuple[Outcome, str] | None:
    """Why the request may not show the item; None where it may."""
    items, resolved, allowed = trace.catalog.items, trace.resolved, trace.query.allowed
    if items.visible is not None and not items.visible[row]:
        return "deleted", "it was deleted from the catalogue by a change since the bundle"
    columns = items.columns.take(np.asarray([row]))
    failed = [
        f"{name} is {fields.get(name)!r}, the filter wants {json.dumps(wanted, ensure_ascii=False)}"
        if name in fields
        else f"{name}: the filter wants {json.dumps(wanted, ensure_ascii=False)}"
        for name, wanted in (resolved.filter or {}).items()
        if not filters.parse({name: wanted}, items.columns.kinds)(columns)[0]
    ]
    if failed:
        return "filtered", "a filter leaves it out: " + "; ".join(failed)
    if allowed is None or allowed[row]:
        return None
    if row in resolved.hidden_rows:
        return "hidden", "the user hid it"
    had = np.concatenate([resolved.history.rows, resolved.disliked_items.rows])
    if resolved.exclude_seen and row in items.of_same_products(had):
        return "had", "the request wants what is new to the user, who had it or another package of it"
    return "disliked", "the user returned, disliked or rated low this item or others of its category"


def _findings(graph: LocalGraph, trace: ChannelTrace, row: int, tensors: Tensors) -> list[ChannelFinding]:
    """What every channel makes of the item; those that do not list it are asked for a longer list."""
    depth = graph.bundle.spec.channel_depth
    ranks = {name: _rank(ranked.rows, row) for name, ranked in trace.lists.items()}
    asked = {name for name, weight in trace.weights.items() if weight > 0}
    longer: dict[str, int | None] = {}
    if any(ranks.get(name) is None for name in asked):
        deeper_graph = graph.over(replace(graph.bundle.spec, channel_depth=DEEPER, dense_texts=DEEPER))
        deep = Retrieve(deeper_graph.bundle, "cpu", deeper_graph.live).trace(tensors)
        deeper_graph.close()
        longer = {name: _rank(ranked.rows, row) for name, ranked in deep.lists.items()}
    findings = []
    for name, known in trace.knowledge.items():
        rank, note = ranks.get(name), ""
        if trace.weights.get(name, 0.0) <= 0:
            note = "is not asked for such a request"
        elif name in trace.unavailable:
            note = "did not answer"
        elif rank is None:
            note = "does not list it"
            if known.items is not None and not known.items[row]:
                note = "can know nothing of it"
        elif rank > depth:
            note = f"lists it behind the {depth} that have a vote"
        elif (shares := trace.lists[name].shares) is not None and not shares[rank - 1]:
            note = "lists it among equals, some of which its list leaves out"
        deeper = longer.get(name) if rank is None and note == "does not list it" else None
        findings.append(ChannelFinding(name, trace.weights.get(name, 0.0), rank, deeper, note))
    return findings


def _lost(base: Explanation) -> Explanation:
    """An item that is no candidate: cut, or not found."""
    if base.fused is not None:
        finders = ", ".join(f"{one.channel} ({one.rank:,})" for one in base.channels if one.rank is not None)
        sentence = (
            f"found by {finders or 'no channel'}, and fused to place {base.fused:,} of {base.found:,}: "
            f"the first {base.candidates} are ranked"
        )
        return replace(base, outcome="cut", sentence=sentence)
    deeper = ", ".join(f"{one.channel} as number {one.deeper:,}" for one in base.channels if one.deeper is not None)
    sentence = "no channel lists it" + (f"; longer lists have it: {deeper}" if deeper else ", however long its list")
    return replace(base, outcome="not found", sentence=sentence)


def _placed(
    graph: LocalGraph, base: Explanation, query: str, user: str, asked: dict[str, Any], answer: Tensors
) -> Explanation:
    """An item that was ranked: its place in the answer, else in a longer one, and what made it."""
    wanted, offset = int(asked["k"]), int(asked.get("offset", 0))
    everything, ids = answer, _ids(answer)
    if base.item not in ids:
        everything = graph.search(query, user, **{**asked, "k": min(MAX_K, MAX_LISTED - offset)})
        ids = _ids(everything)
    by = "the ranker" if base.by_ranker else "fusion"
    if base.item not in ids:
        sentence = f"a candidate that {by} ordered, and that a rule or its place left out of the answer"
        return replace(base, outcome="ranked", sentence=sentence)
    at = ids.index(base.item)
    details = [json.loads(item) for item in everything["ITEM"][0][: len(ids)]]
    scores = everything["SCORE"][0]
    place, end = offset + at + 1, offset + wanted
    placed = replace(base, place=place, score=float(scores[at]), signals=details[at].get("signals", ()))
    if at < wanted:
        return replace(placed, sentence=f"place {place} of {offset + min(wanted, len(ids))}, ordered by {by}")
    last = {"item": ids[wanted - 1], "place": end, "score": float(scores[wanted - 1]), **details[wanted - 1]}
    asks = f"{wanted}" + (f" from place {offset + 1} on" if offset else "")
    sentence = f"place {place}, ordered by {by}: the request asks for {asks}"
    return replace(placed, outcome="ranked", sentence=sentence, beside=last)


def _ids(answer: Tensors) -> list[str]:
    return [item.decode() for item in answer["ITEM_ID"][0] if item]


def _rank(rows: Any, row: int) -> int | None:
    at = np.flatnonzero(rows == row)
    return int(at[0]) + 1 if len(at) else None
