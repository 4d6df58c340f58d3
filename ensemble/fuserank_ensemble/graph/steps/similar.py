"""The model `similar`: items like an item of the catalogue, or like a free text.

It has no index of its own. What it resolves goes to `encoder` and `retrieve`, the stages of `search`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates import request
from fuserank_ensemble.candidates.request import ResolvedRequest, RetrievalTrace
from fuserank_ensemble.catalog import filters
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
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.graph.tensors import Tensors, pack_floats, pack_strings, string_tensor
from fuserank_ensemble.interactions.history import History

_VERIFIED = ("index/tokenizer", "index/items/", "index/vectors.npy", "index/hidden/")
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

    def __init__(self, bundle: Bundle, call: Call) -> None:
        """Takes the bundle, and how to call another model."""
        self._bundle, self._call, self._spec = bundle, call, bundle.spec
        self._items, self._kinds = bundle.items, bundle.items.columns.kinds
        self._fields = set(bundle.manifest["fields"])
        self._default_fields = [name for name in bundle.spec.default_fields if name in self._fields]
        self._tokens = EncoderTokenizer(bundle.tokenizer, bundle.spec.length_buckets, bundle.spec.pad_token_id)
        self._decode, self._encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Similar:
        """See `Model`. Loads the tokenizer, maps the catalogue and its text vectors; always on the CPU."""
        del device
        bundle = Bundle.open(bundle_root, verify=_VERIFIED)
        return cls(bundle, host.call)

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
        row = self._items.row(item_id) if item_id else -1
        if item_id and row < 0:
            allowed = "an item of the catalogue; for one that is not in this bundle, send its title as TEXT"
            raise InvalidRequestError("ITEM_ID", item_id, allowed)
        user = decode_bounded("OPTIONS.user", options.user.encode(), MAX_USER_ID_BYTES)
        hidden = self._bundle.hidden.get(user) if self._bundle.hidden is not None and user else None
        return _Anchor(row, text, options, b"" if hidden is None else hidden.rows.tobytes())

    def _answers(self, anchors: Sequence[_Anchor], started: int) -> list[_Answer]:
        vectors = self._vectors(anchors)
        now = float(self._bundle.manifest["log_end"]) if self._spec.clock == "log" else time.time()
        resolved = string_tensor([[request.encode(self._resolved(anchor, now, started))] for anchor in anchors])
        retrieved = self._call("retrieve", {"EMBEDDING": vectors, "REQUEST": resolved}, ("CANDIDATES", "RETRIEVAL"))
        traces = request.decode_traces(retrieved["RETRIEVAL"])
        return [
            self._answer(anchor, vector, rows, trace, started)
            for anchor, vector, rows, trace in zip(anchors, vectors, retrieved["CANDIDATES"], traces, strict=True)
        ]

    def _vectors(self, anchors: Sequence[_Anchor]) -> NDArray[np.float32]:
        """What each answer is to be near to, float32 `[anchors, dim]`: an item has its vector, a text is encoded."""
        vectors = np.zeros((len(anchors), self._spec.embedding_dim), np.float32)
        texts = [i for i, anchor in enumerate(anchors) if anchor.text]
        items = [i for i, anchor in enumerate(anchors) if not anchor.text]
        vectors[items] = self._bundle.vectors[self._items.text[[anchors[i].row for i in items]]]
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
            hidden=anchor.hidden,
        )

    def _answer(
        self,
        anchor: _Anchor,
        vector: NDArray[np.float32],
        candidates: NDArray[np.int32],
        trace: RetrievalTrace,
        started: int,
    ) -> _Answer:
        rows = candidates[candidates >= 0][: anchor.options.k]
        names = self._default_fields if anchor.options.fields is None else anchor.options.fields
        status = SimilarStatus(
            bundle=self._bundle.id,
            degraded=[*anchor.degraded, *trace.degraded],
            candidates=trace.candidates,
            microseconds={
                "retrieve": (trace.finished_ns - trace.started_ns) // 1_000,
                "total": (time.monotonic_ns() - started) // 1_000,
            },
            returned=len(rows),
        )
        return _Answer(
            [bytes(item_id) for item_id in self._items.ids[rows]],
            self._bundle.vectors[self._items.text[rows]].astype(np.float32) @ vector,
            [self._item(int(row), names) for row in rows],
            self._encode(status),
        )

    def _item(self, row: int, names: Sequence[str]) -> bytes:
        record = self._decode(self._bundle.records.raw(row))
        return self._encode({"fields": {name: record[name] for name in names if name in record}})


def _outputs(answers: Sequence[_Answer]) -> Tensors:
    return {
        "ITEM_ID": pack_strings([answer.ids for answer in answers]),
        "SCORE": pack_floats([answer.scores for answer in answers]),
        "ITEM": pack_strings([answer.items for answer in answers]),
        "STATUS": string_tensor([[answer.status] for answer in answers]),
    }
