"""The model `rerank`: how well texts answer a query, by the text tower of the bundle, else by its encoder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.pairs import Pair, PairTokens
from fuserank_ensemble.catalog.text import normalise, query_text
from fuserank_ensemble.contract.errors import Description, InvalidRequestError
from fuserank_ensemble.contract.options import MAX_QUERY_BYTES, decode_bounded, parse_rerank_options
from fuserank_ensemble.graph.cpu_engine import open_cpu_engine
from fuserank_ensemble.graph.stages import search_stages
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.graph.tensors import Tensors, string_tensor
from fuserank_ensemble.graph.text_encoder import PAUSE_SECONDS, Call, TextEncoder
from fuserank_ensemble.graph.text_tower import MOST_PAIRS, OnnxPairEngine, PairEngine
from fuserank_ensemble.graph.texts import encode_status, name_encoder, name_text_tower, read_texts

TEXT_TOWER = "text_tower"


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
    """Reads each document with the query by a text tower: the sigmoid of its logit, 0 to 1."""

    def __init__(self, bundle: Bundle, pairs: PairTokens, tower: PairEngine) -> None:
        """Takes the bundle, what joins query and document, and its text tower."""
        self.model = name_text_tower(bundle)
        self._pairs, self._tower = pairs, tower

    def score(self, query: str, documents: Sequence[str], *, raw: bool) -> Scored:
        """See `Scorer`."""
        pairs, truncated, query_truncated = self._pairs.join_texts(query, documents)
        ids, types = ([np.asarray(pair[side], np.int64) for pair in pairs] for side in (0, 1))
        logits = self._tower.score(ids, types)
        scores = logits if raw else 1 / (1 + np.exp(-logits.astype(np.float64)))
        return Scored(scores.astype(np.float32), truncated, query_truncated, sum(map(len, ids)))


class CalledTower:
    """The model `text_tower` of the server as a `PairEngine`."""

    def __init__(self, bundle: Bundle, pairs: PairTokens, call: Call) -> None:
        """Takes the bundle, what pads pairs, and how to call another model."""
        self._pairs, self._call, self._count = pairs, call, bundle.spec.text_candidates
        # Few at a time, so that searches need not wait for all of them.
        self._rows = max(1, min(bundle.spec.max_batch, MOST_PAIRS // self._count))

    def score(self, ids: Sequence[NDArray[np.int64]], types: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """See `PairEngine`.

        Raises:
            UnavailableError: Where the model takes no calls at present.
        """
        logits = np.zeros(len(ids), np.float32)
        by_length = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        for start in range(0, len(ids), self._rows * self._count):
            time.sleep(PAUSE_SECONDS if start else 0)
            part = by_length[start : start + self._rows * self._count]
            logits[part] = self._read([(ids[i].tolist(), types[i].tolist()) for i in part])
        return logits

    def _read(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """The logits of some pairs, float32 `[pairs]`, in rows of as many as the engine reads of one search."""
        rows = [pairs[start : start + self._count] for start in range(0, len(pairs), self._count)]
        ids, types = self._pairs.pad(rows, self._count)
        read = self._call(TEXT_TOWER, {"PAIR_IDS": ids, "PAIR_TYPES": types}, ("TEXT_SCORES",))
        scores: NDArray[np.float32] = read["TEXT_SCORES"].reshape(-1)[: len(pairs)]
        return scores


class OwnTower:
    """The bundle's text tower in this process, opened when it is first asked: most shops rerank nothing."""

    def __init__(self, bundle: Bundle) -> None:
        """Takes the bundle."""
        self._bundle = bundle

    def score(self, ids: Sequence[NDArray[np.int64]], types: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """See `PairEngine`."""
        return self._engine.score(ids, types)

    @cached_property
    def _engine(self) -> OnnxPairEngine:
        (stage,) = (stage for stage in search_stages(self._bundle.spec) if stage.name == TEXT_TOWER)
        return OnnxPairEngine(open_cpu_engine(self._bundle, stage), self._bundle.spec.pair_pad_token_id)


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

    def __init__(self, bundle: Bundle, host: Host) -> None:
        """Takes the bundle, and the process that it runs in."""
        self._bundle, pairs = bundle, bundle.pairs
        self._scorer: Scorer
        if pairs is None:
            self._scorer = CosineScorer(bundle, host.call)
        else:
            # Where one process answers a search, no model is the text tower, and another bundle may have another one.
            called = host.serves(TEXT_TOWER)
            tower = CalledTower(bundle, pairs, host.call) if called else OwnTower(bundle)
            self._scorer = TowerScorer(bundle, pairs, tower)

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Rerank:
        """See `Model`. Loads the tokenizer; always on the CPU."""
        del device
        verified = ("index/tokenizer", "index/pairs/", f"model_repository/{TEXT_TOWER}/")
        return cls(Bundle.open(bundle_root, verify=verified), host)

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


def _read_query(raw: bytes) -> str:
    query = normalise(decode_bounded("QUERY", raw, MAX_QUERY_BYTES))
    if not query:
        raise InvalidRequestError("QUERY", Description("an empty text"), "what the documents are to answer")
    return query
