"""The model `embed`: vectors of texts, by the encoder of the bundle."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.text import query_text
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.contract.options import parse_embed_options
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.graph.tensors import Tensors, string_tensor
from fuserank_ensemble.graph.text_encoder import Call, EncodedTexts, TextEncoder
from fuserank_ensemble.graph.texts import encode_status, name_encoder, read_texts


@dataclass(frozen=True)
class _Texts:
    """The texts of one request as the encoder reads them, row after row."""

    rows: int
    texts: list[str]


class Embed:
    """Embeds queries and documents as `search` embeds its own; nothing of a query is understood but its words."""

    name = "embed"

    def __init__(self, bundle: Bundle, call: Call) -> None:
        """Takes the bundle, and how to call another model."""
        self._bundle, self._encoder = bundle, TextEncoder(bundle, call)
        self._template, self._model = bundle.spec.query_template, name_encoder(bundle)

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Embed:
        """See `Model`. Loads the tokenizer; always on the CPU."""
        del device
        return cls(Bundle.open(bundle_root, verify=("index/tokenizer",)), host.call)

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors | InvalidRequestError]:
        """See `Step`. The texts of a batch go to the encoder together."""
        started = time.monotonic_ns()
        parsed = [self._parsed(tensors) for tensors in requests]
        encoded = self._encoder.encode([text for one in parsed if isinstance(one, _Texts) for text in one.texts])
        answers: list[Tensors | InvalidRequestError] = []
        first = 0
        for one in parsed:
            if isinstance(one, InvalidRequestError):
                answers.append(one)
                continue
            answers.append(self._outputs(one, encoded, first, started))
            first += len(one.texts)
        return answers

    def _parsed(self, tensors: Tensors) -> _Texts | InvalidRequestError:
        try:
            rows = read_texts("TEXT", tensors["TEXT"])
            kinds = [parse_embed_options(raw).kind for raw in tensors["OPTIONS"][:, 0]]
        except InvalidRequestError as error:
            return error
        read = [
            query_text(self._template, text) if kind == "query" else text
            for row, kind in zip(rows, kinds, strict=True)
            for text in row
        ]
        return _Texts(len(rows), read)

    def _outputs(self, request: _Texts, encoded: EncodedTexts, first: int, started: int) -> Tensors:
        mine = slice(first, first + len(request.texts))
        truncated = encoded.truncated[mine].reshape(request.rows, -1)
        tokens = encoded.tokens[mine].reshape(request.rows, -1).sum(axis=1)
        statuses = [
            encode_status(self._bundle, self._model, [], of_row, int(count), started)
            for of_row, count in zip(truncated, tokens, strict=True)
        ]
        return {
            "EMBEDDING": encoded.vectors[mine].reshape(*truncated.shape, -1),
            "STATUS": string_tensor([[status] for status in statuses]),
        }
