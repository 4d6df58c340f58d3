"""From scores to one ordered list.

Rules shift scores; pins take their places; the other places go by score, or by marginal relevance under `diversity`;
last, slots may explore. Each step only sees what the ones before it left, and all but the last are determined by the
candidates: so the propensities of exploring are exact.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.request import ResolvedRequest
from fuserank_ensemble.catalog import filters
from fuserank_ensemble.catalog.arrays import RowSource
from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.contract.controls import MAX_SEED
from fuserank_ensemble.ranking.diversity import mmr
from fuserank_ensemble.ranking.exploration import Clicks, Exploration, draw_exploration
from fuserank_ensemble.ranking.rules import NOT_FOUND, Pin, RuleOutcome, Rules


class ExploreOutcome(msgspec.Struct):
    """What exploring did, as `STATUS` tells it.

    Attributes:
        seed: With it the same candidates give the same list again.
        slots: The places from 1 that could explore: neither pinned nor without items to choose from.
        pool: How many items could have come in.
        explored: How many did.
    """

    seed: int
    slots: list[int]
    pool: int
    explored: int


class ExposureOutcome(msgspec.Struct):
    """What bounding did to a page, as `STATUS` tells it.

    Attributes:
        moved: Items on the page that would not be there else.
        unmet: Places that had to go to a value beyond its share, since nothing else was left.
        cost: By how much the page's mean score is lower.
    """

    moved: int
    unmet: int
    cost: float


class SponsoredOutcome(msgspec.Struct):
    """What pins with a label did to a page, as `STATUS` tells it.

    Attributes:
        placed: Items on the page that such a pin put there.
        cost: By how much the page's mean score is lower than that of the best candidates in their place.
    """

    placed: int
    cost: float


@dataclass(frozen=True)
class Place:
    """One place of the list, and how it was filled.

    Attributes:
        position: Of the item among the candidates; `NOT_FOUND` for a pinned item that is none.
        row: The item's row.
        explored: It stands here because the place explored.
        propensity: The probability that it stands here, given the candidates.
        pin: The pin that put it here.
    """

    position: int
    row: int
    explored: bool = False
    propensity: float = 1.0
    pin: Pin | None = None


@dataclass(frozen=True)
class Ranked:
    """One list, best first.

    Attributes:
        positions: Of the items among the candidates, `NOT_FOUND` for a pinned item that is none, int64 `[n]`.
        rows: Item rows, int32 `[n]`.
        scores: float32 `[n]`, with what the rules add; an item that is no candidate has the candidates' mean.
        shifts: What the rules add to each candidate's score, float32 `[candidates]`; None without any steering.
        steps: The same in standard deviations, float64 `[candidates]`.
        places: How each place was filled; empty without any steering.
        rules: What each rule did.
        explore: What exploring did; None where nothing explores.
        exposure: What bounding shares of the page did; None where none are bound.
        sponsored: What pins with a label did; None where there are none.
    """

    positions: NDArray[np.int64]
    rows: NDArray[np.int32]
    scores: NDArray[np.float32]
    shifts: NDArray[np.float32] | None = None
    steps: NDArray[np.float64] | None = None
    places: Sequence[Place] = ()
    rules: Sequence[RuleOutcome] = ()
    explore: ExploreOutcome | None = None
    exposure: ExposureOutcome | None = None
    sponsored: SponsoredOutcome | None = None

    def with_cost(self, scores: NDArray[np.float32], offset: int) -> Ranked:
        """Returns the page with what its pins cost.

        Args:
            scores: Of all candidates, float32 `[candidates]`.
            offset: How many items come before the page.
        """
        best = np.sort(scores)[::-1][offset : offset + len(self.scores)]
        cost = float(best.mean() - self.scores[: len(best)].mean()) if len(best) else 0.0
        placed = sum(place.pin is not None for place in self.places)
        return replace(self, sponsored=SponsoredOutcome(placed, round(max(cost, 0.0), 6)))

    def part(self, offset: int, k: int) -> Ranked:
        """Returns k items of the list, from an offset on."""
        page = slice(offset, offset + k)
        return replace(
            self,
            positions=self.positions[page],
            rows=self.rows[page],
            scores=self.scores[page],
            places=self.places[page],
        )


# Of one category on a page of a recommendation: five flavours of one product are no five ideas.
PAGE, MOST_OF_CATEGORY = 10, 4


def rank_by_score(rows: NDArray[np.int32], scores: NDArray[np.float32], k: int) -> Ranked:
    """Returns the k best by score alone. Stable: where the ranker sees no difference, the order of fusion stands."""
    order = np.argsort(-scores, kind="stable")[:k]
    return Ranked(order, rows[order], scores[order])


def rank_varied(
    rows: NDArray[np.int32], scores: NDArray[np.float32], categories: NDArray[np.int32], k: int, depth: int
) -> Ranked:
    """Returns the k best by score, of one category at most `MOST_OF_CATEGORY` on the first page.

    What is one too many there follows the page; where nothing else is left, it stays.

    Args:
        rows: Candidates, best fused first, int32 `[candidates]`.
        scores: float32 `[candidates]`.
        categories: Each candidate's category, -1 for none, int32 `[candidates]`.
        k: How many are wanted.
        depth: How many candidates are compared first; those beyond follow them.
    """
    order = np.argsort(-scores, kind="stable")
    counts: dict[int, int] = {}
    first, later = list[int](), list[int]()
    for position in order.tolist():
        category = int(categories[position])
        full = category >= 0 and counts.get(category, 0) >= MOST_OF_CATEGORY
        if len(first) < PAGE and position < depth and not full:
            counts[category] = counts.get(category, 0) + 1
            first.append(position)
        else:
            later.append(position)
    order = np.asarray([*first, *later], np.int64)[:k]
    return Ranked(order, rows[order], scores[order])


def rank_fixed(
    resolved: ResolvedRequest, rows: NDArray[np.int32], scores: NDArray[np.float32], items: Items, depth: int
) -> Ranked:
    """Returns the candidates in their order, with what rules add to their scores; arguments as of `rank_steered`."""
    order = np.arange(len(rows))
    if not resolved.rules:
        return Ranked(order, rows, scores)
    rules = Rules(resolved.rules, rows, items)
    shifts = rules.shifts(scores, depth)
    return Ranked(order, rows, scores + shifts, shifts, rules.steps, rules=rules.outcomes)


def rank_steered(
    resolved: ResolvedRequest,
    rows: NDArray[np.int32],
    scores: NDArray[np.float32],
    items: Items,
    vectors: RowSource,
    events: NDArray[np.float32],
    depth: int,
    clicks: Clicks | None = None,
) -> Ranked:
    """Returns the list that the request's rules, diversity and exploration make of the candidates.

    Args:
        resolved: The request.
        rows: Candidates, best fused first, int32 `[candidates]`.
        scores: float32 `[candidates]`.
        items: The catalogue.
        vectors: L2-normalised text vectors, fp16 `[texts, dim]`.
        events: All users' events by item, float32 `[items]`; those of later items are none.
        depth: How many candidates are compared first; those beyond follow them.
        clicks: What is known of the candidates' clicks; needed where the request explores by Thompson sampling.
    """
    mean = float(scores.mean()) if len(scores) else 0.0
    rules = Rules(resolved.rules, rows, items)
    shifts = rules.shifts(scores, depth)
    scores = scores + shifts
    order = np.argsort(-scores, kind="stable")
    pins = rules.pins(order, resolved.last_place, lambda pinned: _allowed_mask(resolved, items, pinned))
    free = order[~np.isin(order, [pin.position for pin in pins.values()])]
    length = min(resolved.last_place - len(pins), len(free))
    if resolved.diversity > 0:
        free = _diversify(
            resolved.diversity, [pin.row for pin in pins.values()], free, length, depth, rows, scores, items, vectors
        )
    open_places = [place for place in range(resolved.last_place) if place not in pins]
    exploration = None
    explore = resolved.explore
    if explore is not None:
        slots = [open_places.index(slot - 1) for slot in sorted(explore.slots or [resolved.k]) if slot - 1 not in pins]
        seed = secrets.randbelow(MAX_SEED + 1) if explore.seed is None else explore.seed
        exploration = draw_exploration(
            free, length, scores, values_of(events, rows) < explore.max_events, slots, explore.rate, seed, clicks
        )
        free = exploration.order
    places = _merge_pins(resolved.last_place, pins, free[:length], rows, exploration)
    for number, place in enumerate(places):
        if place.pin is not None:
            rules.count_pin(number, place.pin)
    positions = np.asarray([place.position for place in places], np.int64)
    scored = positions != NOT_FOUND
    listed_scores = np.full(len(places), mean, np.float32)
    listed_scores[scored] = scores[positions[scored]]
    listed = np.asarray([place.row for place in places], np.int32)
    outcome = None
    if exploration is not None:
        outcome = ExploreOutcome(
            seed,
            [open_places[slot] + 1 for slot in exploration.slots],
            exploration.pool,
            int(exploration.explored.sum()),
        )
    return Ranked(positions, listed, listed_scores, shifts, rules.steps, places, rules.outcomes, outcome)


def values_of(by_item: NDArray[np.float32], rows: NDArray[np.int32]) -> NDArray[np.float32]:
    """Values of some items, float32 `[rows]`; 0 for those behind the last that has one."""
    known = rows < len(by_item)
    counted: NDArray[np.float32] = np.where(known, by_item[np.where(known, rows, 0)], np.float32(0.0))
    return counted


def _diversify(
    diversity: float,
    pinned: list[int],
    free: NDArray[np.int64],
    length: int,
    depth: int,
    rows: NDArray[np.int32],
    scores: NDArray[np.float32],
    items: Items,
    vectors: RowSource,
) -> NDArray[np.int64]:
    """The free candidates with those first that marginal relevance picks, beside what is pinned.

    It picks from the first `depth` candidates, so that its picks do not hang on how many are asked for.
    """
    compared, beyond = free[free < depth], free[free >= depth]
    every = np.concatenate([np.asarray(pinned, np.int32), rows[compared]])
    values = np.concatenate([np.zeros(len(pinned), np.float32), scores[compared]])
    texts = vectors[items.text[every]].astype(np.float32)
    given = np.arange(len(pinned))
    picks = mmr(values, texts, items.category[every], length, diversity, given) - len(pinned)
    return np.concatenate([compared[picks], np.delete(compared, picks), beyond])


def _merge_pins(
    k: int,
    pins: dict[int, Pin],
    free: NDArray[np.int64],
    rows: NDArray[np.int32],
    exploration: Exploration | None,
) -> list[Place]:
    """Pins at their places, and between them the others; where these run out, later pins move up."""
    following = iter(range(len(free)))
    places: list[Place] = []
    for place in range(k):
        pin = pins.get(place)
        if pin is not None:
            places.append(Place(pin.position, pin.row, pin=pin))
        elif (at := next(following, None)) is not None:
            explored = exploration is not None and bool(exploration.explored[at])
            propensity = 1.0 if exploration is None else float(exploration.propensities[at])
            places.append(Place(int(free[at]), int(rows[free[at]]), explored, propensity))
    return places


def _allowed_mask(resolved: ResolvedRequest, items: Items, rows: NDArray[np.int32]) -> Mask:
    """Returns whether the request lets items be shown: its filter holds, and they are not what it excludes."""
    columns = items.columns.take(rows)
    allowed = filters.parse(resolved.filter or {}, items.columns.kinds)(columns)
    allowed = allowed & ~np.isin(rows, resolved.hidden_rows)
    if resolved.exclude_seen:
        had = np.concatenate([resolved.history.rows, resolved.disliked_items.rows])
        allowed = allowed & ~np.isin(rows, items.of_same_products(had))
    return allowed
