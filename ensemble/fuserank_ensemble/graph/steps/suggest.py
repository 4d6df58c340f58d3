"""The model `suggest`: what a query may become while it is typed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.contract.options import MAX_PREFIX_BYTES, decode_bounded, parse_suggest_options
from fuserank_ensemble.graph.live import NO_KIND, open_live
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.graph.tensors import Tensors, pack_floats, pack_strings
from fuserank_ensemble.retrieval.lexical.live_titles import LiveTitles
from fuserank_ensemble.retrieval.lexical.suggest import Suggester
from fuserank_ensemble.state.tail import Consumer

INDEX = Path("index") / "suggest"  # within a bundle


class Completer(Protocol):
    """What completes a prefix, such as `fuserank_ensemble.retrieval.lexical.suggest.Suggester`."""

    def complete(self, prefix: str, count: int, hidden: Collection[str] = frozenset()) -> list[tuple[str, float]]:
        """At most `count` phrases, best first, each with its popularity; those with `hidden` keys are not shown."""
        ...


class Suggest:
    """Completes prefixes from the catalogue's titles and the log's queries."""

    name = "suggest"

    def __init__(self, completer: Completer, live: LiveTitles | None = None) -> None:
        """Takes what completes, and the titles as they change; None where no state is kept."""
        self._completer, self._live = completer, live

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Suggest:
        """See `Model`. Maps the phrases; always on the CPU."""
        del device
        bundle, titles = Bundle.open(bundle_root, verify=(f"{INDEX.as_posix()}/", "index/items/")), []

        def follow(catalog: LiveCatalog) -> Consumer:
            titles.append(LiveTitles(catalog, bundle_root / INDEX))
            return titles[0]

        open_live(bundle, host, kinds=NO_KIND, beside=follow)
        return cls(Suggester.open(bundle_root / INDEX), next(iter(titles), None))

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors | InvalidRequestError]:
        """See `Step`."""
        return [self._answer(tensors) for tensors in requests]

    def _answer(self, tensors: Tensors) -> Tensors | InvalidRequestError:
        rows = zip(tensors["PREFIX"][:, 0], tensors["OPTIONS"][:, 0], strict=True)
        try:
            completions = [self._completions(*row) for row in rows]
        except InvalidRequestError as error:
            return error
        return {
            "SUGGESTION": pack_strings([[text.encode() for text, _ in row] for row in completions]),
            "SCORE": pack_floats([[score for _, score in row] for row in completions]),
        }

    def _completions(self, raw_prefix: bytes, raw_options: bytes) -> list[tuple[str, float]]:
        prefix = decode_bounded("PREFIX", raw_prefix, MAX_PREFIX_BYTES)
        completer, hidden = self._live.current if self._live else (self._completer, frozenset[str]())
        return completer.complete(prefix, parse_suggest_options(raw_options).count, hidden)
