"""The model `similar`: items like an item of the catalogue, or like a free text.

It has no index of its own. What it resolves goes to `encoder` and `retrieve`, the stages of `search`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates import request
from fuserank_ensemble.candidates.request import ResolvedRequest, RetrievalTrace
from fuserank_ensemble.catalog import filters
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.catalog.tokens import EncoderTokenizer
from fuserank_ensemble.contract.errors import Description, InvalidRequestError
from fuserank_ensemble.contract.identity import refuse_hashed_name
from fuserank_ensemble.contract.options import (
    MAX_ITEM_ID_BYTES,
    MAX_TEXT_BYTES,
    MAX_USER_ID_BYTES,
    SimilarOptions,
    check_fields,
    decode_bounded,
    parse_similar_options,
)
from fuserank_ensemble.graph.complements import NEIGHBOURS, explain_complement, find_complements
from fuserank_ensemble.graph.live.bundle import LiveBundle
from fuserank_ensemble.graph.live.state import MAX_WAIT_SECONDS, STALE, LiveState, open_key, open_live
from fuserank_ensemble.graph.similar_reasons import SimilarExplainer
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.graph.tensors import Tensors, pack_floats, pack_strings, string_tensor
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.live.users import Users
from fuserank_ensemble.state.entries import EventKind
from fuserank_ensemble.state.identity import IdentityKey

HIDES: frozenset[EventKind] = frozenset({"hide"})  # all that a user's events mean here
_VERIFIED = (
    *("index/tokenizer", "index/items/", "index/vectors.npy", "index/graph/", "index/history/", "index/synonyms"),
    "index/hidden/",
)
_NAMED_ITEMS = 3  # of a basket in a reason
Call = Callable[[str, Tensors, Sequence[str]], Tensors]  # see `Host.call`


class SimilarStatus(msgspec.Struct):
    """The `STATUS` output of `similar`."""

    bundle: str
    degraded: list[str]
    candidates: dict[str, int]
    microseconds: dict[str, int]
    returned: int


@dataclass(frozen=True)
class _Anchor:
    """One row of a request: what its answer is to be like."""

    rows: NDArray[np.int32]  # of the item, or of those in the basket; none for a text
    catalog: int  # position of the newest change of the catalogue that it was looked up in
    text: str  # normalised, empty for an item
    options: SimilarOptions
    hidden: bytes  # rows of the items that the user never wants to see, int32
    degraded: list[str] = field(default_factory=list)

    @property
    def wants_complements(self) -> bool:
        """Whether what goes with it is wanted, not what stands in for it."""
        return self.options.relation == "complement"


@dataclass(frozen=True)
class _Answer:
    """One row of the reply."""

    ids: list[bytes]
    scores: NDArray[np.float32]
    items: list[bytes]
    status: bytes


class Similar:
    """Finds items like an item or a text: by meaning, by who had them, and by what they are related to."""

    name = "similar"

    def __init__(
        self,
        bundle: Bundle,
        call: Call,
        live: LiveState | None = None,
        key: IdentityKey | None = None,
        *,
        takes_names: bool = False,
    ) -> None:
        """Opens the step.

        Args:
            bundle: The bundle.
            call: Runs another model of the server.
            live: What happened since the bundle was made; None where no state is kept.
            key: The key under which the bundle names users, see `open_key`.
            takes_names: Whether users may be given by the bundle's names for them; never over the network.
        """
        self._live, self._takes_names = live, takes_names
        overlay = live.overlay if live else None
        self._users = Users(bundle.histories, bundle.dislikes, bundle.hidden, bundle.event_table, overlay, key)
        self._bundle, self._call, self._spec = bundle, call, bundle.spec
        self._now, self._kinds = LiveBundle(bundle, live), bundle.items.columns.kinds
        self._fields = set(bundle.manifest["fields"])
        self._default_fields = [name for name in bundle.spec.default_fields if name in self._fields]
        self._tokens = EncoderTokenizer(bundle.tokenizer, bundle.spec.length_buckets, bundle.spec.pad_token_id)
        self._encode = msgspec.json.Encoder().encode
        self._explainer = SimilarExplainer(bundle)

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Similar:
        """See `Model`. Loads the tokenizer, maps the catalogue and its text vectors; always on the CPU."""
        del device
        bundle = Bundle.open(bundle_root, verify=_VERIFIED)
        live = open_live(bundle, host, kinds=HIDES)
        bundle.histories.by_item  # noqa: B018  computed now, and not within the first request for what goes with an item
        return cls(bundle, host.call, live, open_key(bundle, host))

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors | InvalidRequestError]:
        """See `Step`. All rows of a batch go to each other model in one call."""
        started = time.monotonic_ns()
        parsed = [self._parsed(tensors, started) for tensors in requests]
        anchors = [anchor for rows in parsed if not isinstance(rows, InvalidRequestError) for anchor in rows]
        answers = iter(self._answers(anchors, started) if anchors else ())
        return [
            rows if isinstance(rows, InvalidRequestError) else _outputs([next(answers) for _ in rows])
            for rows in parsed
        ]

    def _parsed(self, tensors: Tensors, started: int) -> list[_Anchor] | InvalidRequestError:
        rows = zip(tensors["ITEM_ID"][:, 0], tensors["TEXT"][:, 0], tensors["OPTIONS"][:, 0], strict=True)
        try:
            return [self._anchor(*row, started) for row in rows]
        except InvalidRequestError as error:
            return error

    def _anchor(self, raw_id: bytes, raw_text: bytes, raw_options: bytes, started: int) -> _Anchor:
        item_id = decode_bounded("ITEM_ID", raw_id, MAX_ITEM_ID_BYTES)
        text = normalise(decode_bounded("TEXT", raw_text, MAX_TEXT_BYTES))
        options = parse_similar_options(raw_options)
        given = {"an item": item_id, "a text": text, "a basket": options.basket}
        named = [name for name, value in given.items() if value]
        if len(named) != 1:
            found = Description(" and ".join(named) or "both empty, and no basket")
            allowed = "one of them: an item's id, a text or OPTIONS.basket, the others empty"
            raise InvalidRequestError("ITEM_ID, TEXT", found, allowed)
        if options.filter:
            filters.parse(options.filter, self._kinds)
        check_fields(options.fields or (), self._fields)
        # All rows of a batch wait no longer than one may.
        left = max(MAX_WAIT_SECONDS - (time.monotonic_ns() - started) / 1e9, 0.0)
        known_so_far = self._now.knows(options.min_position, left)
        user = decode_bounded("OPTIONS.user", options.user.encode(), MAX_USER_ID_BYTES)
        if not self._takes_names:
            refuse_hashed_name("OPTIONS.user", user)
            refuse_hashed_name("OPTIONS.session_id", options.session_id)
        known = self._users.find(user, options.session_id)
        stale = [] if known_so_far and known.complete else [STALE]
        catalog = self._now.catalog  # after the user, whose items it then has
        found_rows = [catalog.items.row(name) for name in options.basket or ([item_id] if item_id else [])]
        rows = np.asarray(list(dict.fromkeys(row for row in found_rows if row >= 0)), np.int32)
        if item_id and not len(rows):
            allowed = "an item of the catalogue; for one that is not in this bundle, send its title as TEXT"
            raise InvalidRequestError("ITEM_ID", item_id, allowed)
        if options.basket and not len(rows):
            raise InvalidRequestError("OPTIONS.basket", options.basket, "items one of which the catalogue has")
        if (user or options.session_id) and self._live and self._live.tail.failing and not stale:
            stale = [STALE]
        return _Anchor(rows, catalog.position, text, options, known.hidden.tobytes(), stale)

    def _answers(self, anchors: Sequence[_Anchor], started: int) -> list[_Answer]:
        vectors = self._vectors(anchors)
        now = float(self._bundle.manifest["log_end"]) if self._spec.clock == "log" else time.time()
        resolved = string_tensor([[request.encode(self._resolved(anchor, now, started))] for anchor in anchors])
        wanted = [
            "CANDIDATES",
            "RETRIEVAL",
            *(["FEATURES"] if any(anchor.options.explain for anchor in anchors) else []),
        ]
        retrieved = self._call("retrieve", {"EMBEDDING": vectors, "REQUEST": resolved}, wanted)
        traces = request.decode_traces(retrieved["RETRIEVAL"])
        features = retrieved.get("FEATURES", [None] * len(anchors))
        return [
            self._answer(anchor, vector, rows, of_rows, trace, started)
            for anchor, vector, rows, of_rows, trace in zip(
                anchors, vectors, retrieved["CANDIDATES"], features, traces, strict=True
            )
        ]

    def _vectors(self, anchors: Sequence[_Anchor]) -> NDArray[np.float32]:
        """What each answer is to be near to, float32 `[anchors, dim]`: an item has its vector, a text is encoded."""
        vectors = np.zeros((len(anchors), self._spec.embedding_dim), np.float32)
        texts = [i for i, anchor in enumerate(anchors) if anchor.text]
        items = [i for i, anchor in enumerate(anchors) if not anchor.text]
        catalog = self._now.catalog
        for i in items:
            vectors[i] = self._mean_vector(catalog, anchors[i].rows)
        if texts:
            # As an item's own text is encoded: the query's template has no part in it.
            encodings = self._tokens.encode([anchors[i].text for i in texts])
            for i, encoding in zip(texts, encodings, strict=True):
                if encoding.overflowing:
                    anchors[i].degraded.append("text_truncated")
            ids, mask = self._tokens.pad(encodings)
            encoded = self._call("encoder", {"INPUT_IDS": ids, "ATTENTION_MASK": mask}, ("EMBEDDING",))
            vectors[texts] = encoded["EMBEDDING"]
        return vectors

    @staticmethod
    def _mean_vector(catalog: CatalogSnapshot, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """The L2-normalised mean of some items' vectors, float32 `[dim]`; of one item its own."""
        mean = catalog.vectors[catalog.items.text[rows]].astype(np.float32).mean(axis=0)
        unit: NDArray[np.float32] = mean / max(float(np.linalg.norm(mean)), 1e-12) if len(rows) > 1 else mean
        return unit

    def _resolved(self, anchor: _Anchor, now: float, started: int) -> ResolvedRequest:
        """For `retrieve` an item is a history of one event; a text is a query.

        What goes with an item is looked up here: `retrieve` then finds what is near it, whatever is filtered out.
        """
        history = History.empty() if anchor.text else History.from_rows(anchor.rows.tolist(), now)
        return ResolvedRequest(
            kind="similar",
            has_query=bool(anchor.text),
            user_known=False,
            k=2 * NEIGHBOURS if anchor.wants_complements else anchor.options.k,
            now=now,
            seen=history.pack(),
            filter=None if anchor.wants_complements else anchor.options.filter,
            weights=(),
            diversity=0.0,
            exclude_seen=True,
            explain=False,
            fields=[],
            query=anchor.text,
            context={},
            history_unknown=0,
            degraded=[],
            started_ns=started,
            finished_ns=time.monotonic_ns(),
            deadline_ns=0,
            catalog=anchor.catalog,
            bundle=self._bundle.id,
            hidden=anchor.hidden,
        )

    def _answer(
        self,
        anchor: _Anchor,
        vector: NDArray[np.float32],
        candidates: NDArray[np.int32],
        features: NDArray[np.float32] | None,
        trace: RetrievalTrace,
        started: int,
    ) -> _Answer:
        candidates = candidates[candidates >= 0]
        catalog = self._now.catalog_at(trace.catalog)
        if anchor.rows.max(initial=-1) >= len(catalog.items):
            catalog = self._now.catalog
        if not anchor.text:
            vector = self._mean_vector(catalog, anchor.rows)
        if anchor.wants_complements:
            return self._answer_complements(anchor, catalog, vector, candidates, trace, started)
        cosines = catalog.vectors[catalog.items.text[candidates]].astype(np.float32) @ vector
        stale = [STALE] if catalog.position != trace.catalog else []
        rows = candidates[: anchor.options.k]
        names = self._default_fields if anchor.options.fields is None else anchor.options.fields
        status = self._status(anchor, trace, stale, trace.candidates, len(rows), started)
        items: list[dict[str, Any]] = [{"fields": catalog.records.named(row, names)} for row in rows.tolist()]
        if anchor.options.explain and features is not None:
            asked = (anchor.rows, anchor.text, anchor.options.language)
            explained = self._explainer.explain(*asked, catalog, rows, cosines, features)
            for item, signals in zip(items, explained, strict=True):
                item["signals"] = signals
        return _Answer(
            [catalog.items.id_of(row) for row in rows.tolist()],
            cosines[: len(rows)],
            [self._encode(item) for item in items],
            self._encode(status),
        )

    def _status(
        self,
        anchor: _Anchor,
        trace: RetrievalTrace,
        stale: Sequence[str],
        candidates: dict[str, int],
        returned: int,
        started: int,
    ) -> SimilarStatus:
        return SimilarStatus(
            bundle=self._bundle.id,
            degraded=list(dict.fromkeys([*anchor.degraded, *trace.degraded, *stale])),
            candidates=candidates,
            microseconds={
                "retrieve": (trace.finished_ns - trace.started_ns) // 1_000,
                "total": (time.monotonic_ns() - started) // 1_000,
            },
            returned=returned,
        )

    def _answer_complements(
        self,
        anchor: _Anchor,
        catalog: CatalogSnapshot,
        vector: NDArray[np.float32],
        near: NDArray[np.int32],
        trace: RetrievalTrace,
        started: int,
    ) -> _Answer:
        """What goes with what was asked about; `near` is what is near it in meaning."""
        options = anchor.options
        hidden = np.frombuffer(anchor.hidden, np.int32)
        found = find_complements(
            *(self._bundle.histories, catalog, anchor.rows, vector, near, options.filter or {}, hidden, options.k)
        )
        names = self._default_fields if options.fields is None else options.fields
        items: list[dict[str, Any]] = [{"fields": catalog.records.named(item.row, names)} for item in found]
        if options.explain:
            asked = anchor.text or ", ".join(self._explainer.titles(catalog, anchor.rows[:_NAMED_ITEMS]))
            for item, complement in zip(items, found, strict=True):
                item["signals"] = explain_complement(complement, asked, options.language)
        stale = [STALE] if catalog.position != trace.catalog else []
        status = self._status(anchor, trace, stale, {"together": len(found)}, len(found), started)
        return _Answer(
            [catalog.items.id_of(item.row) for item in found],
            np.asarray([item.lift for item in found], np.float32),
            [self._encode(item) for item in items],
            self._encode(status),
        )


def _outputs(answers: Sequence[_Answer]) -> Tensors:
    return {
        "ITEM_ID": pack_strings([answer.ids for answer in answers]),
        "SCORE": pack_floats([answer.scores for answer in answers]),
        "ITEM": pack_strings([answer.items for answer in answers]),
        "STATUS": string_tensor([[answer.status] for answer in answers]),
    }
