"""The model `rerank`: how well texts answer a query, by the text tower of the bundle, else by its encoder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.pairs import Pair, PairTokens
from fuserank_ensemble.catalog.text import normalise, query_text
from fuserank_ensemble.contract.errors import Description, InvalidRequestError
from fuserank_ensemble.contract.options import MAX_QUERY_BYTES, decode_bounded, parse_rerank_options
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.graph.tensors import Tensors, string_tensor
from fuserank_ensemble.graph.text_encoder import PAUSE_SECONDS, Call, TextEncoder
from fuserank_ensemble.graph.text_tower import MOST_PAIRS
from fuserank_ensemble.graph.texts import encode_status, name_encoder, name_text_tower, read_texts
from fuserank_ensemble.spec import GraphSpec


@dataclass(frozen=True)
class Scored:
    """What reading a query and its documents gave.

    Attributes:
        scores: Float32 `[documents]`.
        truncated: Which documents were cut, bool `[documents]`.
        query_truncated: Whether the query was.
        tokens: How many tokens were read.
    """

    scores: NDArray[np.float32]
    truncated: NDArray[np.bool_]
    query_truncated: bool
    tokens: int


class Scorer(Protocol):
    """What reads a query and documents."""

    model: str  # see `TextStatus.model`

    def score(self, query: str, documents: Sequence[str], *, raw: bool) -> Scored:
        """Scores documents; with `raw` as the engine gives it.

        Raises:
            UnavailableError: Where the engine takes no calls at present.
        """
        ...


class TowerScorer:
    """Calls the model `text_tower`: the sigmoid of its logit, 0 to 1."""

    def __init__(self, bundle: Bundle, pairs: PairTokens, call: Call) -> None:
        """Takes the bundle, what joins query and document, and how to call another model."""
        self.model = name_text_tower(bundle)
        self._pairs, self._call, self._spec = pairs, call, bundle.spec

    def score(self, query: str, documents: Sequence[str], *, raw: bool) -> Scored:
        """See `Scorer`."""
        pairs, truncated, query_truncated = self._pairs.join_texts(query, documents)
        logits = np.zeros(len(pairs), np.float32)
        by_length = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]))
        # Few at a time, so that searches need not wait for all of them.
        room = self._spec.text_candidates * pair_rows(self._spec)
        for start in range(0, len(pairs), room):
            time.sleep(PAUSE_SECONDS if start else 0)
            part = by_length[start : start + room]
            logits[part] = self._read([pairs[i] for i in part])
        scores = logits if raw else 1 / (1 + np.exp(-logits.astype(np.float64)))
        tokens = sum(len(ids) for ids, _ in pairs)
        return Scored(scores.astype(np.float32), truncated, query_truncated, tokens)

    def _read(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """The logits of some pairs, float32 `[pairs]`, in rows of as many as the engine reads of one search."""
        count = self._spec.text_candidates
        rows = [pairs[start : start + count] for start in range(0, len(pairs), count)]
        ids, types = self._pairs.pad(rows, count)
        read = self._call("text_tower", {"PAIR_IDS": ids, "PAIR_TYPES": types}, ("TEXT_SCORES",))
        scores: NDArray[np.float32] = read["TEXT_SCORES"].reshape(-1)[: len(pairs)]
        return scores


class CosineScorer:
    """Calls the model `encoder`: the cosine of the query's vector and a document's."""

    def __init__(self, bundle: Bundle, call: Call) -> None:
        """Takes the bundle, and how to call another model."""
        self.model = name_encoder(bundle)
        self._encoder, self._template = TextEncoder(bundle, call), bundle.spec.query_template

    def score(self, query: str, documents: Sequence[str], *, raw: bool) -> Scored:
        """See `Scorer`; a cosine is the same raw."""
        del raw
        encoded = self._encoder.encode([query_text(self._template, query), *documents])
        scores: NDArray[np.float32] = encoded.vectors[1:] @ encoded.vectors[0]
        return Scored(scores, encoded.truncated[1:], bool(encoded.truncated[0]), int(encoded.tokens.sum()))


class Rerank:
    """Scores documents that are no items, each alone with the query."""

    name = "rerank"

    def __init__(self, bundle: Bundle, call: Call) -> None:
        """Takes the bundle, and how to call another model."""
        self._bundle, pairs = bundle, bundle.pairs
        self._scorer: Scorer = TowerScorer(bundle, pairs, call) if pairs else CosineScorer(bundle, call)

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Rerank:
        """See `Model`. Loads the tokenizer; always on the CPU."""
        del device
        return cls(Bundle.open(bundle_root, verify=("index/tokenizer", "index/pairs/")), host.call)

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors | InvalidRequestError]:
        """See `Step`."""
        return [self._answer(tensors) for tensors in requests]

    def _answer(self, tensors: Tensors) -> Tensors | InvalidRequestError:
        started = time.monotonic_ns()
        try:
            queries = [_read_query(raw) for raw in tensors["QUERY"][:, 0]]
            documents = read_texts("DOCUMENT", tensors["DOCUMENT"], may_be_empty=True)
            options = [parse_rerank_options(raw) for raw in tensors["OPTIONS"][:, 0]]
        except InvalidRequestError as error:
            return error
        rows = [
            self._scorer.score(query, of_row, raw=asked.raw_scores)
            for query, of_row, asked in zip(queries, documents, options, strict=True)
        ]
        return {
            "SCORE": np.stack([row.scores for row in rows]),
            "STATUS": string_tensor([[self._status(row, started)] for row in rows]),
        }

    def _status(self, row: Scored, started: int) -> bytes:
        degraded = ["query_truncated"] if row.query_truncated else []
        return encode_status(self._bundle, self._scorer.model, degraded, row.truncated, row.tokens, started)


def pair_rows(spec: GraphSpec) -> int:
    """How many rows of `text_candidates` pairs one call of the text tower has."""
    return max(1, min(spec.max_batch, MOST_PAIRS // spec.text_candidates))


def _read_query(raw: bytes) -> str:
    query = normalise(decode_bounded("QUERY", raw, MAX_QUERY_BYTES))
    if not query:
        raise InvalidRequestError("QUERY", Description("an empty text"), "what the documents are to answer")
    return query
