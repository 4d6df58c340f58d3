"""Which items match a query at all, whatever a request's filter and user: what a page counts and lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.retrieval.channel import Channel, ChannelQuery, ChannelUnavailableError, RankedItems
from fuserank_ensemble.retrieval.word_matches import NO_ROWS
from fuserank_ensemble.understanding.query import UnderstoodQuery

_KEPT_BYTES = 16 << 20  # of matches that are kept


@dataclass(frozen=True, eq=False)
class Matches:
    """The items that match a query.

    Attributes:
        rows: Best first, int32 without repeats `[items]`.
        exact: Whether these are all.
        relaxed: Whether some lack words of the query, since no item has all of them.
    """

    rows: NDArray[np.int32]
    exact: bool
    relaxed: bool

    def mask(self, items: int) -> Mask:
        """Returns which of so many items match."""
        mask = np.zeros(items, np.bool_)
        mask[self.rows] = True
        return mask


class MatchFinder:
    """Finds what matches a query: the items with all of its words, and those that are near it in meaning.

    Near is what a text channel's pool holds, see `ChannelDeclaration.pool`. Where no item has all words, those with
    some of them match. One instance serves one thread.

    Args:
        channels: The channels; the text channels among them are asked.
        depth: How many items of each are asked for.
    """

    def __init__(self, channels: Sequence[Channel], depth: int) -> None:
        self._channels = [channel for channel in channels if channel.declaration.phase == "text"]
        self._depth = depth
        self._known: LRUCache[tuple[str, UnderstoodQuery | None], tuple[Mask | None, Matches]] = LRUCache(
            _KEPT_BYTES, getsizeof=lambda known: 1_024 + known[1].rows.nbytes
        )

    def find(self, query: ChannelQuery, lists: Mapping[str, RankedItems]) -> Matches:
        """Returns what matches; it is kept for the next request with the query.

        Args:
            query: The request, with a query and a scope.
            lists: What the text channels list for it.
        """
        assert query.scope is not None
        key, visible = (query.query, query.understood), query.scope.visible
        known = self._known.get(key)
        if known is not None and known[0] is visible:
            return known[1]
        matches, answered = self._find(query, lists)
        if answered and matches.rows.nbytes < _KEPT_BYTES // 8:
            self._known[key] = (visible, matches)
        return matches

    def _find(self, query: ChannelQuery, lists: Mapping[str, RankedItems]) -> tuple[Matches, bool]:
        """Returns what matches, and whether every channel answered."""
        of_channels = [channel.match(query) for channel in self._channels]
        by_words = [matches for matches in of_channels if matches is not None]
        rows = [matches.rows for matches in by_words]
        has_words = any(map(len, rows))
        unknown = any(matches.unknown for matches in by_words)
        answered = True
        if not any(matches.sufficient for matches in by_words):
            for channel, own in zip(self._channels, of_channels, strict=True):
                declared = channel.declaration
                if declared.pool is None or (has_words and own is not None):
                    continue
                try:
                    rows.append(declared.pool(self._list(channel, query, lists)).rows)
                except ChannelUnavailableError:
                    answered = False
        joined = np.concatenate([NO_ROWS, *rows])
        _, first = np.unique(joined, return_index=True)
        exact = all(matches.complete for matches in by_words)
        return Matches(joined[np.sort(first)], exact, relaxed=unknown or not has_words), answered

    def _list(self, channel: Channel, query: ChannelQuery, lists: Mapping[str, RankedItems]) -> RankedItems:
        """Returns a channel's list of all items that may be shown to anybody."""
        assert query.scope is not None
        listed = lists.get(channel.declaration.name)
        if listed is not None and not query.scope.narrowed:
            return listed
        return channel.search([replace(query, allowed=query.scope.visible, condition=None)], self._depth)[0]
