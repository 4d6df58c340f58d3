"""What a page lists and what it says beside: how many items match, how many of each value, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from fuserank_ensemble.catalog.facets import FacetCounter, group_ids
from fuserank_ensemble.catalog.filters import Columns, Mask
from fuserank_ensemble.contract.page import MAX_LISTED, PageRequest
from fuserank_ensemble.retrieval.matches import Matches

Rows = NDArray[np.int32]
MOST_OF_TILES = 4 * MAX_LISTED  # items that tiles are made of
MOST_VARIANTS = 10  # items that are returned beneath a tile
_KEPT_BYTES = 32 << 20  # of selections that are kept


class Total(msgspec.Struct):
    """How many items, or tiles, match: `relation` is `eq` where these are all, `gte` where there may be more."""

    value: int
    relation: str


class PageFacts(msgspec.Struct):
    """What a page says beside its items, as `STATUS` tells it.

    Attributes:
        total: How many items there are on all pages.
        facets: The values of each field that was asked for, with their counts.
        relaxed: `words` where items match that lack words of the query.
        without: Where nothing is left: how many there were without each condition of the filter.
    """

    total: Total
    facets: dict[str, list[dict[str, Any]]] = {}
    relaxed: list[str] = []
    without: dict[str, int] = {}


class Variants(msgspec.Struct, array_like=True):
    """The items beneath a tile: the rows of the first ones, int32, and how many there are."""

    rows: bytes = b""
    count: int = 0


@dataclass(frozen=True, eq=False)
class Selection:
    """What a request's page lists, on all pages.

    Attributes:
        rows: The items, best matches first, int32 `[items]`.
        facts: What is said of them.
    """

    rows: Rows
    facts: PageFacts


@dataclass(frozen=True, eq=False)
class PageScope:
    """What a request for a page lets be listed.

    Attributes:
        request: What it asks of the page.
        k: How many items it wants.
        columns: The catalogue's fields.
        everything: All items in the order in which they are listed where there is no query, int32 `[items]`.
        allowed: Which may be shown to who asks, the filter aside, bool `[items]`; None where all may.
        personal: Whether `allowed` is this request's own.
        filter: The filter's conditions.
        holds: Returns which items one condition of the filter lets be shown, bool `[items]`.
        pinned: Rows that rules pin and the request may show; None for none.
        groups: The group of each item whose items are one tile, -1 for one of its own, int32 `[items]`; None lists
            items.
        has_pins: Whether rules put items at places, so that a page needs the whole list before it.
        sort_key: What orders the items, lowest first and NaN last, float64 `[items]`; None for relevance.
    """

    request: PageRequest
    k: int
    columns: Columns
    everything: Rows
    allowed: Mask | None
    personal: bool
    filter: Mapping[str, Any]
    holds: Callable[[Mapping[str, Any]], Mask]
    pinned: Rows | None
    groups: NDArray[np.int32] | None
    has_pins: bool
    sort_key: NDArray[np.float64] | None


class PageCounter:
    """Selects and counts what pages list; what is the same for all users is kept. One instance serves one thread."""

    def __init__(self) -> None:
        self._facets = FacetCounter()
        self._known: LRUCache[bytes, tuple[Matches | None, Selection]] = LRUCache(
            _KEPT_BYTES, getsizeof=lambda known: 1_024 + known[1].rows.nbytes
        )
        self._catalog: tuple[object, ...] = ()  # the arrays that these are of

    def select(self, scope: PageScope, matches: Matches | None) -> Selection:
        """Returns what a request lists.

        Args:
            scope: The request.
            matches: What matches its query; None where it has none and everything does.
        """
        if scope.personal or scope.pinned is not None:
            return self._select(scope, matches)
        catalog = (scope.columns, scope.allowed, scope.everything)
        if len(self._catalog) != len(catalog) or any(a is not b for a, b in zip(catalog, self._catalog, strict=True)):
            self._known.clear()  # what is kept would keep the arrays of an older catalogue, too
            self._catalog = catalog
        request = scope.request
        asked = msgspec.json.encode([scope.filter, request.facets, request.collapse, id(matches)])
        known = self._known.get(asked)
        if known is not None and known[0] is matches:
            return known[1]
        selection = self._select(scope, matches)
        if selection.rows.nbytes < _KEPT_BYTES // 8:
            self._known[asked] = (matches, selection)
        return selection

    def _select(self, scope: PageScope, matches: Matches | None) -> Selection:
        rows = scope.everything if matches is None else matches.rows
        if scope.pinned is not None:
            rows = np.concatenate([rows, scope.pinned[~np.isin(scope.pinned, rows)]])
        if scope.allowed is not None:
            rows = rows[scope.allowed[rows]]
        held = {name: scope.holds({name: wanted})[rows] for name, wanted in scope.filter.items()}
        selected = _all(held.values(), len(rows))
        listed = rows[selected]
        facets = {}
        for facet in scope.request.facets:
            others = _all((mask for name, mask in held.items() if name != facet.field), len(rows))
            counted = listed if facet.field not in held else rows[others]
            chosen = _named_values(scope.filter.get(facet.field))
            facets[facet.field] = self._facets.count(scope.columns, facet, counted, scope.groups, chosen)
        total = _count(listed, scope.groups)
        without = {}
        if not total:
            for name in held:
                left = rows[_all((mask for other, mask in held.items() if other != name), len(rows))]
                without[name] = _count(left, scope.groups)
        exact = matches is None or matches.exact
        facts = PageFacts(
            Total(total, "eq" if exact else "gte"),
            facets,
            ["words"] if matches is not None and matches.relaxed and total else [],
            {name: count for name, count in without.items() if count},
        )
        return Selection(listed, facts)


def _all(masks: Iterable[Mask], size: int) -> Mask:
    """Returns where all of some masks hold, bool `[size]`."""
    kept = np.ones(size, np.bool_)
    for mask in masks:
        kept &= mask
    return kept


def _count(rows: Rows, groups: NDArray[np.int32] | None) -> int:
    """Returns how many items there are, or how many tiles they make."""
    return len(rows) if groups is None else len(np.unique(group_ids(groups, rows)))


def _named_values(wanted: Any) -> list[Any]:
    """Returns the values that a filter's condition names; none of a range."""
    values = wanted if isinstance(wanted, list) else [wanted]
    return [value for value in values if isinstance(value, str | bool)]


@dataclass(frozen=True, eq=False)
class Cut:
    """The part of a request's candidates that its page needs.

    Attributes:
        positions: Of these among the candidates, in their order, int64 `[kept]`.
        variants: What is beneath each; None where items are no tiles.
    """

    positions: NDArray[np.int64]
    variants: list[Variants] | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """How a request's page is cut from what it lists.

    Attributes:
        scope: The request.
        selection: What it lists.
        compared: How many of the first candidates the ranker compares with each other.
        limit: How many candidates it gets at most.
    """

    scope: PageScope
    selection: Selection
    compared: int
    limit: int

    @property
    def is_sorted(self) -> bool:
        """Whether the items stand in another order than that of relevance."""
        return self.scope.sort_key is not None

    @property
    def is_fixed(self) -> bool:
        """Whether the order stands before the ranker sees the items: it was asked for, or they come far behind."""
        return self.is_sorted or (self.scope.request.offset >= self.compared and not self.scope.has_pins)

    @property
    def depth(self) -> int:
        """How many candidates fusion keeps."""
        return MAX_LISTED if self.scope.groups is None else MOST_OF_TILES

    def required(self, listed: Sequence[Rows], required: Rows | None) -> Rows:
        """Returns the rows that are candidates whatever their votes: as many as channels' lists are short of.

        Args:
            listed: The rows in the channels' lists.
            required: Rows that are candidates anyway; None for none.
        """
        rows = self.selection.rows
        if self.is_sorted:
            return self._sorted_page()
        known = np.empty(0, np.int32) if required is None else required[np.isin(required, rows)]
        voted = np.unique(np.concatenate([known, *listed]))
        missing = max(self.depth - len(voted), 0)
        more = rows[: self.depth + len(voted)]
        return np.concatenate([known, more[~np.isin(more, voted)][:missing]])

    def cut(self, rows: Rows) -> Cut:
        """Returns which candidates the page needs.

        Args:
            rows: All candidates, best fused first, int32 `[candidates]`.
        """
        if self.is_sorted:
            page = self._sorted_page()
            place = {row: at for at, row in enumerate(rows.tolist())}
            positions = np.asarray([place[row] for row in page.tolist()], np.int64)
            return Cut(positions, self._variants(page, self._sorted_rows))
        first = _first_of_groups(rows, self.scope.groups)[:MAX_LISTED]
        offset = self.scope.request.offset
        kept = first[offset : offset + self.scope.k] if self.is_fixed else first[: self.limit]
        return Cut(kept, self._variants(rows[kept], rows))

    @cached_property
    def _sorted_rows(self) -> Rows:
        rows, key = self.selection.rows, self.scope.sort_key
        assert key is not None
        ordered: Rows = rows[np.argsort(key[rows], kind="stable")]
        return ordered

    def _sorted_page(self) -> Rows:
        rows = self._sorted_rows
        first = _first_of_groups(rows, self.scope.groups)[:MAX_LISTED]
        page: Rows = rows[first[self.scope.request.offset : self.scope.request.offset + self.scope.k]]
        return page

    def _variants(self, tiles: Rows, order: Rows) -> list[Variants] | None:
        """Returns what is beneath each tile: the other listed items of its group, in an order."""
        groups = self.scope.groups
        if groups is None:
            return None
        behind = self.selection.rows[~np.isin(self.selection.rows, order)]
        rows = np.concatenate([order, behind])
        of_tiles, of_rows = group_ids(groups, tiles), group_ids(groups, rows)
        rows, of_rows = (values[np.isin(of_rows, of_tiles)] for values in (rows, of_rows))
        beneath = []
        for tile, group in zip(tiles.tolist(), of_tiles.tolist(), strict=True):
            members = rows[of_rows == group]
            members = members[members != tile]
            beneath.append(Variants(members[:MOST_VARIANTS].astype(np.int32).tobytes(), len(members)))
        return beneath


def _first_of_groups(rows: Rows, groups: NDArray[np.int32] | None) -> NDArray[np.int64]:
    """Returns the positions of the first item of each group, in their order, int64; of all items without groups."""
    if groups is None:
        return np.arange(len(rows))
    _, first = np.unique(group_ids(groups, rows), return_index=True)
    return np.sort(first)
