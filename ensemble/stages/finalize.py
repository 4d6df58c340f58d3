"""The last stage: heads become one score, one order, and reasons."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ensemble import reasons, request
from ensemble.bundle import Bundle
from ensemble.contract import InvalidRequestError
from ensemble.diversity import mmr
from ensemble.request import ResolvedRequest, RetrievalTrace, Status
from ensemble.triton import Tensors, strings


class Finalize:
    """Weighs the heads, orders, diversifies and explains."""

    name = "finalize"

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._ids = bundle.items.ids
        self._decode, self._encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode

    @classmethod
    def open(cls, bundle_root: Path, device: str) -> Finalize:
        """Loads the catalogue's fields; always on the CPU."""
        del device
        return cls(Bundle.open(bundle_root, verify=("index/items/", "index/vectors")))

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors | InvalidRequestError]:
        """See `ensemble.triton.Stage`."""
        return [self._answer(tensors) for tensors in requests]

    def _answer(self, tensors: Tensors) -> Tensors:
        started = time.monotonic_ns()
        resolved = request.decode_requests(tensors["REQUEST"])
        traces = request.decode_traces(tensors["RETRIEVAL"])
        answers = [
            self._row(each, *arrays)
            for each, *arrays in zip(
                resolved,
                tensors["CANDIDATES"],
                tensors["FEATURES"],
                tensors["HEADS"],
                tensors["CONTRIBUTIONS"],
                strict=True,
            )
        ]
        width = max(len(scores) for _, scores, _ in answers)
        scores = np.zeros((len(answers), width), np.float32)
        for i, (_, row, _) in enumerate(answers):
            scores[i, : len(row)] = row
        return {
            "ITEM_ID": strings([_filled(ids, width) for ids, _, _ in answers]),
            "SCORE": scores,
            "ITEM": strings([_filled(items, width) for _, _, items in answers]),
            "STATUS": strings(
                [
                    [self._encode(self._status(each, trace, len(ids), started))]
                    for each, trace, (ids, _, _) in zip(resolved, traces, answers, strict=True)
                ]
            ),
        }

    def _row(
        self,
        resolved: ResolvedRequest,
        candidates: NDArray[np.int32],
        features: NDArray[np.float32],
        heads: NDArray[np.float32],
        contributions: NDArray[np.float32],
    ) -> tuple[list[bytes], NDArray[np.float32], list[bytes]]:
        """One ranked list: ids, scores `[n]` and the items' JSON."""
        weights = np.asarray(resolved.weights, np.float32)
        rows = candidates[candidates >= 0]
        scores = heads[: len(rows)] @ weights
        # Stable: where the ranker sees no difference, the order of fusion stands.
        order = np.argsort(-scores, kind="stable")
        if resolved.diversity > 0:
            vectors = self._bundle.vectors[self._bundle.items.text[rows[order]]].astype(np.float32)
            order = order[mmr(scores[order], vectors, resolved.k, resolved.diversity)]
        order = order[: resolved.k]
        items = []
        if resolved.explain and len(rows):
            # What all candidates share explains no order: a signal counts by how far it sets an item apart.
            parts = contributions[: len(rows)] @ weights
            parts -= parts.mean(0, keepdims=True)
        for position in order:
            item: dict[str, Any] = {"fields": self._fields(int(rows[position]), resolved.fields)}
            if resolved.explain:
                item["signals"] = reasons.explain(
                    float(scores[position]), parts[position], features[position], resolved.query
                )
            items.append(self._encode(item))
        return [bytes(self._ids[row]) for row in rows[order]], scores[order], items

    def _fields(self, row: int, names: Sequence[str]) -> dict[str, Any]:
        record = self._decode(self._bundle.records.raw(row))
        return {name: record[name] for name in names if name in record}

    def _status(self, resolved: ResolvedRequest, trace: RetrievalTrace, returned: int, started: int) -> Status:
        now = time.monotonic_ns()
        # The engines keep no clock of their own: theirs is the time between the Python stages, queues included.
        spans = {
            "preprocess": resolved.finished_ns - resolved.started_ns,
            "encoder": trace.started_ns - resolved.finished_ns,
            "retrieve": trace.finished_ns - trace.started_ns,
            "ranker": started - trace.finished_ns,
            "finalize": now - started,
            "total": now - resolved.started_ns,
        }
        late = ["deadline_passed"] if resolved.deadline_ns and now > resolved.deadline_ns else []
        return Status(
            bundle=self._bundle.id,
            degraded=[*resolved.degraded, *trace.degraded, *late],
            candidates=trace.candidates,
            microseconds={name: span // 1_000 for name, span in spans.items()},
            returned=returned,
            user_known=resolved.user_known,
            history_unknown=resolved.history_unknown,
        )


def _filled(values: list[bytes], width: int) -> list[bytes]:
    """Lists of one request have one width; the shorter are filled up with empty strings."""
    return values + [b""] * (width - len(values))
