"""Lays out the pages of what matches, as the step `retrieve` does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.candidate_set import Candidates
from fuserank_ensemble.candidates.pages.layout import Layout, PageCounter, PageScope
from fuserank_ensemble.candidates.pages.sorting import sort_key
from fuserank_ensemble.candidates.request import PageTrace, ResolvedRequest
from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_ensemble.retrieval.matches import Matches

Holds = Callable[[Mapping[str, Any]], Mask]  # a filter -> which items it lets be shown, bool `[items]`


class Page:
    """One request's page. What it lists is known once `lay_out` was called."""

    def __init__(self, scope: PageScope, counter: PageCounter, compared: int, limit: int) -> None:
        """Takes the request, what counts, and how many candidates the ranker compares and gets."""
        self._scope, self._counter, self._compared, self._limit = scope, counter, compared, limit
        self._layout: Layout | None = None

    def lay_out(self, matches: Matches | None) -> Layout:
        """Returns the layout; `matches` is what matches the query, None without one."""
        selection = self._counter.select(self._scope, matches)
        self._layout = Layout(self._scope, selection, self._compared, self._limit)
        return self._layout

    def trace(self, candidates: Candidates) -> PageTrace:
        """Returns what `finalize` is told of the page."""
        assert self._layout is not None
        return PageTrace(self._layout.selection.facts, self._layout.is_fixed, candidates.variants)


class PageMaker:
    """Makes the pages of requests. One instance serves one thread."""

    def __init__(self, compared: int) -> None:
        """Takes how many candidates the ranker compares with each other."""
        self._compared, self._counter = compared, PageCounter()

    def make(
        self, resolved: ResolvedRequest, query: ChannelQuery, retriever: Retriever, holds: Holds, limit: int
    ) -> Page | None:
        """Returns a request's page; None where it asks for none.

        Args:
            resolved: The request.
            query: The same for the channels.
            retriever: What finds items.
            holds: Returns which items a filter lets be shown.
            limit: How many candidates the ranker gets at most.
        """
        page = resolved.page
        if page is None:
            return None
        items = retriever.items
        excluded = excluded_rows(resolved, items)
        scope = PageScope(
            page,
            resolved.k,
            items.columns,
            retriever.by_popularity,
            without_rows(items.visible, excluded, len(items)),
            len(excluded) > 0,
            resolved.filter or {},
            holds,
            query.required if query.required is not None and len(query.required) else None,
            _groups(page.collapse, items),
            (bool(resolved.shares) or any(rule.pin is not None for rule in resolved.rules))
            and resolved.last_place <= limit,
            sort_key(page.sort, items, retriever.popularity),
        )
        return Page(scope, self._counter, self._compared, limit)


def excluded_rows(resolved: ResolvedRequest, items: Items) -> NDArray[np.int32]:
    """Returns the rows of what a request leaves out for who asks: hidden items and, where it says so, those had."""
    excluded = [resolved.hidden_rows]
    if resolved.exclude_seen:
        # What is new to a user is a new product. What is similar to an item may be another size of it.
        seen = resolved.history.rows
        had = np.concatenate([seen, resolved.disliked_items.rows])
        excluded.append(seen if resolved.kind else items.of_same_products(had))
    return np.concatenate(excluded)


def without_rows(allowed: Mask | None, rows: NDArray[np.int32], items: int) -> Mask | None:
    """Returns which items are allowed but for some rows, bool `[items]`; None where all are."""
    if not len(rows):
        return allowed
    mask: Mask = np.ones(items, np.bool_) if allowed is None else allowed.copy()
    mask[rows] = False
    return mask


def _groups(collapse: bool | str, items: Items) -> NDArray[np.int32] | None:
    """Returns the group of each item whose items are one tile, int32 `[items]`; None where each is its own."""
    if isinstance(collapse, str):
        groups: NDArray[np.int32] = items.columns.by_name[collapse].values
        return groups
    return items.product if collapse else None
