"""The model `similar`: items like an item of the catalogue, or like a free text.

It has no index of its own. What it resolves goes to `encoder` and `retrieve`, the stages of `search`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import SYNONYMS, Bundle
from fuserank_ensemble.candidates import request
from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.candidates.request import ResolvedRequest, RetrievalTrace
from fuserank_ensemble.catalog import filters
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.catalog.tokens import EncoderTokenizer
from fuserank_ensemble.contract.errors import Description, InvalidRequestError
from fuserank_ensemble.contract.options import (
    MAX_ITEM_ID_BYTES,
    MAX_TEXT_BYTES,
    MAX_USER_ID_BYTES,
    SimilarOptions,
    check_fields,
    decode_bounded,
    parse_similar_options,
)
from fuserank_ensemble.graph.live import STALE, CatalogReader, LiveState, open_key, open_live
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.graph.tensors import Tensors, pack_floats, pack_strings, string_tensor
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.live.users import Users
from fuserank_ensemble.ranking.relations import RelationFinder, SimilarItem, comes_early, explain_similar
from fuserank_ensemble.retrieval.channels.registry import DECLARATIONS
from fuserank_ensemble.retrieval.graph.index import GraphIndex
from fuserank_ensemble.retrieval.lexical.words import shared_words
from fuserank_ensemble.state.entries import EventKind
from fuserank_ensemble.state.identity import IdentityKey

HIDES: frozenset[EventKind] = frozenset({"hide"})  # all that a user's events mean here
_VERIFIED = (
    *("index/tokenizer", "index/items/", "index/vectors.npy", "index/graph/", "index/history/", "index/synonyms"),
    "index/hidden/",
)
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

    row: int  # of the item, -1 for a text
    catalog: int  # position of the newest change of the catalogue that it was looked up in
    text: str  # normalised, empty for an item
    options: SimilarOptions
    hidden: bytes  # rows of the items that the user never wants to see, int32
    degraded: list[str] = field(default_factory=list)


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
        self, bundle: Bundle, call: Call, live: LiveState | None = None, key: IdentityKey | None = None
    ) -> None:
        """Opens the step.

        Args:
            bundle: The bundle.
            call: Runs another model of the server.
            live: What happened since the bundle was made; None where no state is kept.
            key: The key under which the bundle names users, see `open_key`.
        """
        self._live = live
        overlay = live.overlay if live else None
        self._users = Users(bundle.histories, bundle.dislikes, bundle.hidden, bundle.event_table, overlay, key)
        self._bundle, self._call, self._spec = bundle, call, bundle.spec
        self._catalog, self._kinds = CatalogReader(bundle, live), bundle.items.columns.kinds
        self._fields = set(bundle.manifest["fields"])
        self._default_fields = [name for name in bundle.spec.default_fields if name in self._fields]
        self._tokens = EncoderTokenizer(bundle.tokenizer, bundle.spec.length_buckets, bundle.spec.pad_token_id)
        self._decode, self._encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
        counts = bundle.manifest["counts"]
        self._only_purchases = counts["purchases"] == counts["events"]

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Similar:
        """See `Model`. Loads the tokenizer, maps the catalogue and its text vectors; always on the CPU."""
        del device
        bundle = Bundle.open(bundle_root, verify=_VERIFIED)
        live = open_live(bundle, host, kinds=HIDES)
        return cls(bundle, host.call, live, open_key(bundle, host))

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors | InvalidRequestError]:
        """See `Step`. All rows of a batch go to each other model in one call."""
        started = time.monotonic_ns()
        parsed = [self._parsed(tensors) for tensors in requests]
        anchors = [anchor for rows in parsed if not isinstance(rows, InvalidRequestError) for anchor in rows]
        answers = iter(self._answers(anchors, started) if anchors else ())
        return [
            rows if isinstance(rows, InvalidRequestError) else _outputs([next(answers) for _ in rows])
            for rows in parsed
        ]

    def _parsed(self, tensors: Tensors) -> list[_Anchor] | InvalidRequestError:
        rows = zip(tensors["ITEM_ID"][:, 0], tensors["TEXT"][:, 0], tensors["OPTIONS"][:, 0], strict=True)
        try:
            return [self._anchor(*row) for row in rows]
        except InvalidRequestError as error:
            return error

    def _anchor(self, raw_id: bytes, raw_text: bytes, raw_options: bytes) -> _Anchor:
        item_id = decode_bounded("ITEM_ID", raw_id, MAX_ITEM_ID_BYTES)
        text = normalise(decode_bounded("TEXT", raw_text, MAX_TEXT_BYTES))
        options = parse_similar_options(raw_options)
        if bool(item_id) == bool(text):
            found = Description("an item and a text" if item_id else "both empty")
            raise InvalidRequestError("ITEM_ID, TEXT", found, "one of them: an item's id or a text, the other empty")
        if options.filter:
            filters.parse(options.filter, self._kinds)
        check_fields(options.fields or (), self._fields)
        stale = [] if self._catalog.knows(options.min_position) else [STALE]
        user = decode_bounded("OPTIONS.user", options.user.encode(), MAX_USER_ID_BYTES)
        hidden = self._users.hidden_rows(user).tobytes()
        catalog = self._catalog.current  # after the user, whose items it then has
        row = catalog.items.row(item_id) if item_id else -1
        if item_id and row < 0:
            allowed = "an item of the catalogue; for one that is not in this bundle, send its title as TEXT"
            raise InvalidRequestError("ITEM_ID", item_id, allowed)
        if user and self._live and self._live.tail.failing and not stale:
            stale = [STALE]
        return _Anchor(row, catalog.position, text, options, hidden, stale)

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
        catalog = self._catalog.current
        vectors[items] = catalog.vectors[catalog.items.text[[anchors[i].row for i in items]]]
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

    def _resolved(self, anchor: _Anchor, now: float, started: int) -> ResolvedRequest:
        """For `retrieve` an item is a history of one event; a text is a query."""
        history = History.empty() if anchor.text else History.from_rows([anchor.row], now)
        return ResolvedRequest(
            kind="similar",
            has_query=bool(anchor.text),
            user_known=False,
            k=anchor.options.k,
            now=now,
            seen=history.pack(),
            filter=anchor.options.filter,
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
        catalog = self._catalog.at(trace.catalog)
        if anchor.row >= len(catalog.items):
            catalog = self._catalog.current
        if not anchor.text:
            vector = catalog.vectors[catalog.items.text[[anchor.row]]][0].astype(np.float32)
        cosines = catalog.vectors[catalog.items.text[candidates]].astype(np.float32) @ vector
        stale = [STALE] if catalog.position != trace.catalog else []
        rows = candidates[: anchor.options.k]
        names = self._default_fields if anchor.options.fields is None else anchor.options.fields
        status = SimilarStatus(
            bundle=self._bundle.id,
            degraded=list(dict.fromkeys([*anchor.degraded, *trace.degraded, *stale])),
            candidates=trace.candidates,
            microseconds={
                "retrieve": (trace.finished_ns - trace.started_ns) // 1_000,
                "total": (time.monotonic_ns() - started) // 1_000,
            },
            returned=len(rows),
        )
        items: list[dict[str, Any]] = [{"fields": self._shown_fields(catalog, int(row), names)} for row in rows]
        if anchor.options.explain and features is not None:
            explained = self._explain(anchor, catalog, rows, cosines, features)
            for item, signals in zip(items, explained, strict=True):
                item["signals"] = signals
        return _Answer(
            [catalog.items.id_of(row) for row in rows.tolist()],
            cosines[: len(rows)],
            [self._encode(item) for item in items],
            self._encode(status),
        )

    def _explain(
        self,
        anchor: _Anchor,
        catalog: CatalogSnapshot,
        rows: NDArray[np.int32],
        cosines: NDArray[np.float32],
        features: NDArray[np.float32],
    ) -> list[list[dict[str, Any]]]:
        """Returns the signals of the items of an answer.

        Args:
            anchor: What they are to be like.
            catalog: The catalogue that they were found in.
            rows: The items, int32 `[items]`.
            cosines: How near all candidates are, those of the answer first, float32 `[candidates]`.
            features: Of the candidates, float32 `[candidates, F]`.
        """
        naming, changed = self._relations.fields, catalog.records.changed
        relinked = [row for row in (anchor.row, *rows.tolist()) if not naming.isdisjoint(changed.get(row, ()))]
        fields = {row: catalog.records.fields(row) for row in relinked}
        finder, is_early = self._relations.over(catalog.items, fields), comes_early(cosines)
        relations = finder.of_text(anchor.text, rows) if anchor.text else finder.of_item(anchor.row, rows)
        asked = anchor.text or str(self._decode(catalog.records.raw(anchor.row))["title"])
        explained = []
        for place, (row, of_row) in enumerate(zip(rows.tolist(), relations, strict=True)):
            item = SimilarItem(
                cosine=float(cosines[place]),
                comes_early=bool(is_early[place]),
                related_by=related_channels(features[place]),
                relations=of_row,
                shared_words=self._shared_words(anchor.text, catalog, row) if anchor.text else (),
            )
            explained.append(explain_similar(item, asked, anchor.options.language, self._only_purchases))
        return explained

    @cached_property
    def _relations(self) -> RelationFinder:
        graph = self._bundle.root / "index" / "graph"
        return RelationFinder(
            self._bundle.items, GraphIndex.open(graph) if graph.exists() else None, self._bundle.histories
        )

    def _shared_words(self, text: str, catalog: CatalogSnapshot, row: int) -> list[str]:
        """Returns the words of a text that an item's fields hold."""
        record = self._decode(catalog.records.raw(row))
        texts = (str(record[name]) for name in self._spec.lexical_fields if name in record)
        return shared_words(text, map(self._synonyms.replace, map(normalise, texts)))

    @cached_property
    def _synonyms(self) -> Synonyms:
        return Synonyms.open(self._bundle.root / "index" / SYNONYMS)

    def _shown_fields(self, catalog: CatalogSnapshot, row: int, names: Sequence[str]) -> dict[str, Any]:
        record = self._decode(catalog.records.raw(row))
        return {name: record[name] for name in names if name in record}


def related_channels(features: NDArray[np.float32]) -> list[str]:
    """Returns the channels that relate an item to what was asked, by its features, float32 `[F]`."""
    return [
        name
        for name, declared in DECLARATIONS.items()
        if declared.relates and not np.isnan(features[POSITION[declared.rank.name]])
    ]


def _outputs(answers: Sequence[_Answer]) -> Tensors:
    return {
        "ITEM_ID": pack_strings([answer.ids for answer in answers]),
        "SCORE": pack_floats([answer.scores for answer in answers]),
        "ITEM": pack_strings([answer.items for answer in answers]),
        "STATUS": string_tensor([[answer.status] for answer in answers]),
    }
