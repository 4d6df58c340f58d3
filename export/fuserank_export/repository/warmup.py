"""Writes the warm-up requests that Triton runs through every stage before it calls the stage ready.

Engines are warmed in each of their buckets. The files lie in `<stage>/warmup/`, where `model_warmup` in `config.pbtxt`
looks for them.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import serialize_byte_tensor

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates import request
from fuserank_ensemble.catalog.tokens import EncoderTokenizer
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.stages import (
    WARMUPS,
    companion_stages,
    engine_stages,
    search_stages,
    single_process_stage,
)
from fuserank_ensemble.graph.tensors import Tensors, string_tensor
from fuserank_ensemble.graph.warmups import warmup_folder
from fuserank_export.engines.buckets import Bucket, list_buckets, warmup_file

_CANDIDATE_TENSORS = ("CANDIDATES", "FEATURES", "HEADS", "CONTRIBUTIONS")


def write_warmup(bundle: Bundle, query: str, user: str) -> None:
    """Answers a search, a recommendation and a search with a user in this process, and keeps each stage's inputs.

    An engine's buckets get a real request's tensors in the bucket's sizes.

    Args:
        bundle: A bundle with all but its warm-up files.
        query: A query that the catalogue can answer.
        user: A user of the log, or anyone where there is none.
    """
    graph = LocalGraph(bundle)
    python = {stage.name for stage in search_stages(bundle.spec) if stage.kind == "python"}
    engine_inputs: dict[str, Tensors] = {}
    for kind in WARMUPS:
        asked = (query if kind != "user" else "", user if kind != "query" else "", {"explain": True})
        for name, inputs in graph.trace([asked]):
            if name in python:
                _write(bundle, name, kind, inputs)
                if name == "preprocess":
                    # It gets what the whole graph gets.
                    _write(bundle, single_process_stage(bundle.spec).name, kind, inputs)
            else:
                engine_inputs[name] = inputs  # in the end those of a search with a user
    for stage in engine_stages(bundle.spec):
        for bucket in list_buckets(bundle.spec, stage):
            reads_tokens = "INPUT_IDS" in bucket.shapes
            inputs = _tokens(bundle, query, bucket) if reads_tokens else engine_inputs[stage.name]
            _write_bucket(bundle, stage.name, bucket, inputs)
    # The first letter, as everyone types it who looks for this.
    for stage in companion_stages():
        for kind in stage.warmups:
            prefix = {"PREFIX": string_tensor([[query[:1].encode()]]), "OPTIONS": string_tensor([[b"{}"]])}
            _write(bundle, stage.name, kind, prefix)


def _write(bundle: Bundle, stage: str, kind: str, inputs: Tensors) -> None:
    folder = warmup_folder(bundle, stage)
    folder.mkdir(exist_ok=True)
    if "REQUEST" in inputs:
        # The bundle's id covers this file: it names none, and whichever bundle is served answers.
        rows = request.decode_requests(inputs["REQUEST"])
        nameless = [[request.encode(msgspec.structs.replace(row, bundle=""))] for row in rows]
        inputs = {**inputs, "REQUEST": string_tensor(nameless)}
    for name, array in inputs.items():
        # A small shop has fewer candidates than the configuration's shape: pad as the stages themselves do.
        missing = bundle.spec.candidates - array.shape[1] if name in _CANDIDATE_TENSORS else 0
        padding = [(0, 0), (0, missing), *[(0, 0)] * (array.ndim - 2)]
        filled = np.pad(array, padding, constant_values=-1 if name == "CANDIDATES" else 0) if missing else array
        (folder / f"{kind}.{name}").write_bytes(_raw(filled))


def _tokens(bundle: Bundle, query: str, bucket: Bucket) -> Tensors:
    """Returns the tokens of a query as long as the bucket."""
    length = bucket.shapes["INPUT_IDS"][0]
    tokens = EncoderTokenizer(bundle.tokenizer, (length,), bundle.spec.pad_token_id)
    ids, mask = tokens.pad(tokens.encode([" ".join([query] * length)]))
    return {"INPUT_IDS": ids, "ATTENTION_MASK": mask}


def _write_bucket(bundle: Bundle, stage: str, bucket: Bucket, inputs: Tensors) -> None:
    folder = warmup_folder(bundle, stage)
    folder.mkdir(exist_ok=True)
    for name, row in bucket_feed(inputs, bucket).items():
        (folder / warmup_file(name, bucket.shapes[name])).write_bytes(_raw(row))


def bucket_feed(inputs: Tensors, bucket: Bucket) -> Tensors:
    """Returns one request's inputs in a bucket's sizes: what is too short is repeated, what is too long cut.

    Args:
        inputs: An engine's inputs, `[rows, …]`; the first row is taken.
        bucket: The bucket.
    """
    feed = {}
    for name, dims in bucket.shapes.items():
        row = inputs[name][0]
        for axis, size in enumerate(dims):
            row = np.take(row, np.arange(size) % row.shape[axis], axis)
        feed[name] = row
    return feed


def _raw(array: NDArray[Any]) -> bytes:
    """Returns a one-row tensor as Triton reads it: BYTES with their lengths, everything else as it lies in memory."""
    return bytes(serialize_byte_tensor(array).item()) if array.dtype == np.object_ else array.tobytes()
