"""A bundle as a step of the graph reads it: with what happened since, where a state is kept."""

from __future__ import annotations

from functools import cached_property

from fuserank_ensemble.bundle import Bundle, parser_over
from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.graph.live.state import MAX_WAIT_SECONDS, LiveState, Searched
from fuserank_ensemble.graph.retrieval import open_retriever
from fuserank_ensemble.interactions.live.popularity import PopularitySnapshot
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.understanding.query import QueryParser


class LiveBundle:
    """The newest value of each part of a bundle. A value is replaced whole: a request takes each once."""

    def __init__(self, bundle: Bundle, live: LiveState | None, search_on: str | None = None) -> None:
        """Takes a bundle, and what happened since; None where no state is kept.

        Args:
            bundle: The bundle.
            live: What happened since it was made.
            search_on: The device to find items on; None for a step that finds none.

        Raises:
            ValueError: Where a step is to find items, and `live` was opened for one that finds none.
        """
        self._bundle, self._live = bundle, live
        self._catalog = live.catalog if live else LiveCatalog(bundle.bundled_catalog)
        self._parser: tuple[LexicalIndex, QueryParser] | None = None  # and the words that it knows
        self._retriever = open_retriever(bundle, search_on) if search_on and not live else None
        if search_on and live and live.search is None:
            raise ValueError("live: found none that finds items; allowed: one that was opened with search_on")

    @property
    def catalog(self) -> CatalogSnapshot:
        """The catalogue."""
        return self._catalog.current

    def row_at(self, item_id: str, position: int) -> int:
        """See `CatalogSnapshot.row_at`."""
        return self._catalog.row_at(item_id, position)

    def catalog_at(self, position: int) -> CatalogSnapshot:
        """Returns the catalogue exactly as of a position; where it is not known in time, as of an earlier one."""
        if self.catalog.position < position:
            self.knows(position)
        return self._catalog.at(position)

    def knows(self, position: int, seconds: float = MAX_WAIT_SECONDS) -> bool:
        """Waits until the log is known up to a position; returns whether it is. True where no state is kept."""
        return self._live is None or self._live.wait_for(position, seconds)

    @property
    def parser(self) -> QueryParser:
        """What takes queries apart by the words of the items; one thread may ask for it."""
        if self._live is None or self._live.words is None:
            return self._bundle.query_parser
        words = self._live.words.current
        if self._parser is None or self._parser[0] is not words:
            bundled = self._bundle.query_parser
            self._parser = (words, bundled if words is self._live.words.bundled else parser_over(bundled, words))
        return self._parser[1]

    @property
    def popularity(self) -> PopularitySnapshot:
        """All users' events by item."""
        return self._live.popularity.current if self._live and self._live.popularity else self._bundled_popularity

    @cached_property
    def _bundled_popularity(self) -> PopularitySnapshot:
        return PopularitySnapshot.of_bundle(self._bundle.popularity)

    def search_at(self, position: int) -> Searched:
        """Returns what items are found in now, once it holds the changes of the catalogue up to a position.

        Where it does not come to know them in time, the catalogue's `position` is smaller.
        """
        if self._retriever is not None:
            return Searched(self.catalog, self._retriever)
        search = self._live.search if self._live else None
        assert search is not None  # checked when this was made
        if search.current.catalog.position < position:
            self.knows(position)
        return search.current
