"""Computes what the ranker read of a request again, as of the moment of the log at which it was answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.live.first_users import LiveFirstUsers
from fuserank_ensemble.graph.live.state import LiveState, RetrieverFollower, count_items, open_words
from fuserank_ensemble.graph.retrieval import open_retriever
from fuserank_ensemble.graph.steps.preprocess import Preprocess
from fuserank_ensemble.graph.steps.retrieve import Retrieve
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.interactions.live.overlay import LiveOverlay
from fuserank_ensemble.state.entries import FeatureSample, ItemChange, ItemDelete, Logged
from fuserank_ensemble.state.identity import hashed_name
from fuserank_ensemble.state.log import EventLog
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_ensemble.state.tail import Consumer, LogTail

BATCH = 10_000  # entries that are read at once
EVERYBODY = 1 << 62  # people in memory: who is read from the log has what came later, too


class _StandingTail(LogTail):
    """A tail that does not follow: others were handed what it would have read."""

    def __init__(self, settings: StateSettings, bundle: Bundle, position: int) -> None:
        super().__init__(settings, bundle.snapshot_position, ())
        self.position, self.failing = position, False

    def stop(self) -> None:
        """See `LogTail`; no thread was started."""

    def wait_for(self, position: int, seconds: float) -> bool:
        """See `LogTail`; nothing comes any more."""
        del seconds
        return self.position >= position


class PastFeatures:
    """Computes features with the steps that serve.

    Attributes:
        others: How many samples of other bundles `samples` passed over.
    """

    def __init__(self, bundle: Bundle, settings: StateSettings) -> None:
        """Takes the bundle that answered, and where the log is.

        Raises:
            StateError: Where the log cannot be used.
            BundleError: Where its key is not the bundle's.
        """
        self._bundle, self._settings, self._state = bundle, settings, State.open(settings)
        self._replay: _Replay | None = None
        try:
            bundle.check_user_key(self._state.key)
        except BundleError:
            self.close()
            raise
        self._retriever = open_retriever(bundle, "cpu")
        self.others = 0
        snapshot = bundle.snapshot_position
        self._held = snapshot.position if snapshot.id == self._state.log.id else 0

    def samples(self) -> Iterator[tuple[int, FeatureSample]]:
        """Yields the samples of the bundle's answers with their places in the log, in order."""
        for position, entry in _read(self._state.log, self._held):
            if not isinstance(entry, FeatureSample):
                continue
            if entry.bundle == self._bundle.id:
                yield position, entry
            else:
                self.others += 1

    def of_sample(self, sample: FeatureSample) -> NDArray[np.float32]:
        """Returns the features of a sample's items, float32 `[items, features]`; NaN of one that is not found now.

        The log is read on from the sample before, so samples in the log's order cost one reading of it.

        Raises:
            InvalidRequestError: Where the request cannot be answered.
        """
        if self._replay is None or not self._replay.is_before(sample):
            self._forget()
            self._replay = _Replay(self._bundle, self._state, self._retriever, self._held)
        return self._computed(sample, self._replay.advance(sample, self._settings))

    def close(self) -> None:
        """Lets go of the log."""
        self._forget()
        self._state.log.close()

    def _forget(self) -> None:
        if self._replay is not None:
            self._replay.close()
            self._replay = None

    def _computed(self, sample: FeatureSample, live: LiveState) -> NDArray[np.float32]:
        asked = {
            "QUERY": sample.query,
            "USER_ID": hashed_name(sample.user) if sample.user else "",
            "OPTIONS": sample.options,
        }
        inputs = {name: string_tensor([[value.encode()]]) for name, value in asked.items()}
        preprocess = Preprocess(self._bundle, live, key=self._state.key, takes_names=True)
        (resolved,) = preprocess.execute([inputs])
        if isinstance(resolved, InvalidRequestError):
            raise resolved
        embedding = np.frombuffer(sample.embedding, np.float32)[None]
        (found,) = Retrieve(self._bundle, "cpu", live).execute([{**resolved, "EMBEDDING": embedding}])
        assert not isinstance(found, InvalidRequestError)
        rows, features = found["CANDIDATES"][0], found["FEATURES"][0]
        place = {row: at for at, row in enumerate(rows.tolist()) if row >= 0}
        unknown = np.full(features.shape[1], np.nan, np.float32)
        items = live.catalog.current.items
        of_items = [place.get(items.any_row(item_id), -1) for item_id in sample.items]
        return np.stack([features[at] if at >= 0 else unknown for at in of_items]) if of_items else features[:0]


class _Replay:
    """What had happened at a moment of the log, read on from moment to moment."""

    def __init__(self, bundle: Bundle, state: State, retriever: Retriever, held: int) -> None:
        """Begins where the bundle ends.

        Args:
            bundle: The bundle.
            state: The log.
            retriever: The retriever over the bundle's items.
            held: Up to where the bundle holds the log.
        """
        self._bundle, self._log = bundle, state.log
        self._catalog = LiveCatalog(bundle.bundled_catalog)
        self._words, self._popularity = open_words(bundle, self._catalog), count_items(bundle, self._catalog)
        self._overlay = LiveOverlay(self._catalog, EVERYBODY)
        factors = retriever.factors
        self._first_users = LiveFirstUsers(bundle, self._catalog, factors) if factors else None
        self._search = RetrieverFollower(self._catalog, self._words, self._popularity, self._first_users, retriever)
        self._readers: list[Consumer] = [self._catalog, self._words, self._popularity, self._overlay]
        if self._first_users:
            self._readers.append(self._first_users)
        for reader in self._readers:
            reader.attach(state, held)
        self._reached, self._read = [held] * len(self._readers), held
        self._ahead: list[Logged] = []  # was read, and not yet by all

    def is_before(self, sample: FeatureSample) -> bool:
        """Whether nothing was read that came after a sample's request was answered."""
        return all(reached <= upto for reached, upto in zip(self._reached, self._positions(sample), strict=True))

    def advance(self, sample: FeatureSample, settings: StateSettings) -> LiveState:
        """Reads on to what had happened when a sample's request was answered."""
        positions = self._positions(sample)
        self._hand_out(positions)
        last = max(positions)
        while self._read < last and (batch := self._log.read(self._read, min(BATCH, last - self._read))):
            self._ahead += batch
            self._read = batch[-1].position
            self._hand_out(positions)
        self._popularity.publish()
        if self._first_users:
            self._first_users.finish()
        self._search.apply([])
        tail = _StandingTail(settings, self._bundle, sample.position)
        return LiveState(tail, self._catalog, self._overlay, self._words, self._search, self._popularity)

    def _hand_out(self, positions: Sequence[int]) -> None:
        """Gives each reader what was read up to its position, and drops what nobody waits for."""
        for reader, reached, upto in zip(self._readers, self._reached, positions, strict=True):
            if entries := [logged for logged in self._ahead if reached < logged.position <= upto]:
                reader.apply(entries)
        self._reached = [
            max(reached, min(upto, self._read)) for reached, upto in zip(self._reached, positions, strict=True)
        ]
        # The catalogue stands at its newest change, however long ago: it waits for changes alone.
        of_catalog, of_events = min(self._reached[:2]), min(self._reached[2:])
        self._ahead = [
            logged
            for logged in self._ahead
            if logged.position > (of_catalog if isinstance(logged.entry, ItemChange | ItemDelete) else of_events)
        ]

    def close(self) -> None:
        """Removes what was written beside the bundle."""
        self._words.close()

    def _positions(self, sample: FeatureSample) -> list[int]:
        """Up to where each reader had read the log."""
        positions = [sample.catalog, sample.catalog, sample.popularity, sample.position, sample.first_users]
        return positions[: len(self._readers)]


def _read(log: EventLog, after: int) -> Iterator[Logged]:
    """The entries behind a position."""
    while batch := log.read(after, BATCH):
        yield from batch
        after = batch[-1].position
