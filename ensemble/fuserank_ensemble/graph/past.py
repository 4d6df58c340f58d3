"""Computes what the ranker read of a request again, as of the moment of the log at which it was answered."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.first_users import LiveFirstUsers
from fuserank_ensemble.graph.live import LiveState, RetrieverFollower, count_items, open_words
from fuserank_ensemble.graph.retrieval import open_retriever
from fuserank_ensemble.graph.steps.preprocess import Preprocess
from fuserank_ensemble.graph.steps.retrieve import Retrieve
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.interactions.live.overlay import LiveOverlay
from fuserank_ensemble.state.entries import FeatureSample, Logged
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
        for position, entry in _read(self._state.log, self._held, None):
            if not isinstance(entry, FeatureSample):
                continue
            if entry.bundle == self._bundle.id:
                yield position, entry
            else:
                self.others += 1

    def of_sample(self, sample: FeatureSample) -> NDArray[np.float32]:
        """Returns the features of a sample's items, float32 `[items, features]`; NaN of one that is not found now.

        Raises:
            InvalidRequestError: Where the request cannot be answered.
        """
        live = self._at(sample)
        try:
            return self._computed(sample, live)
        finally:
            live.close()

    def close(self) -> None:
        """Lets go of the log."""
        self._state.log.close()

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

    def _at(self, sample: FeatureSample) -> LiveState:
        """What had happened when the sample's request was answered."""
        bundle, log = self._bundle, self._state.log
        catalog = LiveCatalog(bundle.bundled_catalog)
        words, popularity = open_words(bundle, catalog), count_items(bundle, catalog)
        overlay = LiveOverlay(catalog, EVERYBODY)
        factors = self._retriever.factors
        first_users = LiveFirstUsers(bundle, catalog, factors) if factors else None
        search = RetrieverFollower(catalog, words, popularity, first_users, self._retriever)
        readers: list[tuple[Consumer, int]] = [
            (catalog, sample.catalog),
            (words, sample.catalog),
            (popularity, sample.popularity),
            (overlay, sample.position),
        ]
        if first_users:
            readers.append((first_users, sample.first_users))
        for consumer, upto in readers:
            consumer.attach(self._state, self._held)
            consumer.apply(list(_read(log, self._held, upto)))
        popularity.publish()
        if first_users:
            first_users.finish()
        search.apply([])
        tail = _StandingTail(self._settings, bundle, sample.position)
        return LiveState(tail, catalog, overlay, words, search, popularity)


def _read(log: EventLog, after: int, upto: int | None) -> Iterator[Logged]:
    """The entries behind a position, up to another."""
    while batch := log.read(after, BATCH):
        for logged in batch:
            if upto is not None and logged.position > upto:
                return
            yield logged
        after = batch[-1].position
