"""Remembers what text channels found: the same words and filter have the same list, whoever asks."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from cachetools import LRUCache

from fuserank_ensemble.interactions.history import digest
from fuserank_ensemble.retrieval.channel import Channel, ChannelQuery, RankedItems

LISTS = 4_096  # of 8 kB each where a list is full: 34 MB at most, at the default depth


class ListCache:
    """Asks a text channel once for each query; the least used lists are forgotten first. For one thread.

    What an index holds, a list depends on: a cache belongs to the channels of one index.

    Attributes:
        hits: Look-ups so far that found a list.
        misses: Look-ups that did not.
    """

    def __init__(self, size: int = LISTS, *, hits: int = 0, misses: int = 0) -> None:
        """Takes how many lists to keep, and the look-ups before."""
        self._known: LRUCache[Hashable, RankedItems] = LRUCache(size)
        self.hits, self.misses = hits, misses

    def emptied(self) -> ListCache:
        """Returns one for the channels of another index, which counts on."""
        return ListCache(int(self._known.maxsize), hits=self.hits, misses=self.misses)

    def search(self, channel: Channel, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel.search`. What only one person may be shown is asked each time, and not kept.

        Raises:
            ChannelUnavailableError: As the channel does.
        """
        keys = [_key(channel, query, depth) for query in queries]
        lists = [None if key is None else self._known.get(key) for key in keys]
        missing = [place for place, found in enumerate(lists) if found is None]
        self.hits += len(lists) - len(missing)
        self.misses += sum(keys[place] is not None for place in missing)
        answers = channel.search([queries[place] for place in missing], depth) if missing else []
        for place, found in zip(missing, answers, strict=True):
            lists[place] = found
            if keys[place] is not None:
                self._known[keys[place]] = found
        return [found for found in lists if found is not None]


def _key(channel: Channel, query: ChannelQuery, depth: int) -> Hashable:
    """What a text channel's list depends on beside its index; None where that is somebody's own."""
    if query.shared_mask is None:
        return None
    meaning = digest(query.embedding) if channel.declaration.needs_embedding else b""
    return channel.declaration.name, query.query, query.understood, query.shared_mask, depth, meaning
