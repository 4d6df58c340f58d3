"""The model `suggest`: what a query may become while it is typed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR
from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.catalog.tokens import EncoderVocabulary
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.contract.identity import refuse_hashed_name
from fuserank_ensemble.contract.options import (
    MAX_PREFIX_BYTES,
    MAX_USER_ID_BYTES,
    decode_bounded,
    parse_suggest_options,
)
from fuserank_ensemble.graph.live.bundle import LiveBundle
from fuserank_ensemble.graph.live.state import LiveState, open_key, open_live
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.graph.tensors import Tensors, pack_floats, pack_strings
from fuserank_ensemble.interactions.live.users import Users
from fuserank_ensemble.retrieval.lexical.live_titles import LiveTitles
from fuserank_ensemble.retrieval.lexical.phrases import NAMED_BY
from fuserank_ensemble.retrieval.lexical.shorthand import Spoken
from fuserank_ensemble.retrieval.lexical.suggest import Suggester
from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.tail import Consumer

INDEX = Path("index") / "suggest"  # within a bundle
_VERIFIED = (
    *(f"{INDEX.as_posix()}/", "index/items/", "index/tokenizer"),
    *("index/history/", "index/dislikes/", "index/hidden/"),
)
_MOST_ITEMS = 200  # of a history whose names are looked at, those with the most weight


class Completer(Protocol):
    """What completes a prefix, such as `fuserank_ensemble.retrieval.lexical.suggest.Suggester`."""

    def complete(
        self, prefix: str, count: int, hidden: Collection[str] = frozenset(), habits: Sequence[str] = ()
    ) -> list[tuple[str, float]]:
        """At most `count` phrases, best first, each with its popularity.

        Args:
            prefix: What is typed so far.
            count: How many are wanted.
            hidden: Keys of the phrases that are not shown.
            habits: What the user's items are called, dearest first: of what fits as well it comes first.
        """
        ...


class Habits:
    """What the things that users have had lately are called."""

    def __init__(
        self, bundle: Bundle, live: LiveState | None, key: IdentityKey | None, spoken: Callable[[str], str]
    ) -> None:
        """Joins what is known of users and of what they have had.

        Args:
            bundle: The bundle.
            live: What happened since; None where no state is kept.
            key: Under which the bundle names users; None where the state keeps it, or nobody is named.
            spoken: Shortens titles to what is suggested.
        """
        overlay = live.overlay if live else None
        self._users = Users(bundle.histories, bundle.dislikes, bundle.hidden, bundle.event_table, overlay, key)
        self._now, self._spoken = LiveBundle(bundle, live), spoken
        self._time = float(bundle.manifest["log_end"]) if bundle.spec.clock == "log" else None

    def of(self, user: str) -> list[str]:
        """Returns titles, brands and categories of what a user has had, what was had most lately first."""
        known, catalog = self._users.find(user, ""), self._now.catalog
        seen = known.seen.part(known.seen.rows < len(catalog.items))
        weights = seen.weights(time.time() if self._time is None else self._time)
        worth: dict[str, float] = {}
        for place in np.argsort(-weights, kind="stable")[:_MOST_ITEMS].tolist():
            row = int(seen.rows[place])
            if row in known.hidden or (catalog.items.visible is not None and not catalog.items.visible[row]):
                continue
            fields = catalog.records.fields(row)
            names = (fields.get(name) for name in ("title", *NAMED_BY))
            for name in (str(name).rsplit(CATEGORY_SEPARATOR, 1)[-1] for name in names if isinstance(name, str)):
                phrase = self._spoken(name)
                worth[phrase] = worth.get(phrase, 0.0) + float(weights[place])
        return sorted(worth, key=lambda phrase: -worth[phrase])


class Suggest:
    """Completes prefixes from the catalogue's titles, brands and categories, and the log's queries."""

    name = "suggest"

    def __init__(self, completer: Completer, live: LiveTitles | None = None, habits: Habits | None = None) -> None:
        """Takes what completes, and what may be missing.

        Args:
            completer: Completes prefixes.
            live: The titles as they change; None where no state is kept.
            habits: What users' things are called; None where nobody is known.
        """
        self._completer, self._live, self._habits = completer, live, habits

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Suggest:
        """See `Model`. Maps the phrases and the users' histories; always on the CPU."""
        del device
        bundle, titles = Bundle.open(bundle_root, verify=_VERIFIED), list[LiveTitles]()
        spoken = Spoken(EncoderVocabulary(bundle.tokenizer))

        def follow(catalog: LiveCatalog) -> Consumer:
            titles.append(LiveTitles(catalog, bundle_root / INDEX, spoken))
            return titles[0]

        live = open_live(bundle, host, beside=follow)
        return cls(
            Suggester.open(bundle_root / INDEX),
            next(iter(titles), None),
            Habits(bundle, live, open_key(bundle, host), spoken),
        )

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
        options = parse_suggest_options(raw_options)
        user = refuse_hashed_name(
            "OPTIONS.user", decode_bounded("OPTIONS.user", options.user.encode(), MAX_USER_ID_BYTES)
        )
        habits = self._habits.of(user) if user and self._habits else []
        return completer.complete(prefix, options.count, hidden, habits)
