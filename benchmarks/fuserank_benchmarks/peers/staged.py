"""The peer without an ensemble: our own stages in Triton, but called one after another by the client.

It shows what one call for the whole graph saves: five calls over gRPC, and every tensor between two stages going
through the client.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from fuserank_benchmarks.peers.closed_loop import RefusedError
from fuserank_benchmarks.peers.process import free_port, healthy, started
from fuserank_ensemble.graph.stages import Stage, search_stages
from fuserank_ensemble.spec import GraphSpec

UNAVAILABLE = "StatusCode.UNAVAILABLE"
LARGEST_MESSAGE = 64 << 20  # bytes; pairs and vectors of a request travel through the client here


class StagedPeer:
    """A running server whose stages the client calls by itself.

    Args:
        client: Connected to it.
        stages: In the order that data takes.
        rerank: Pairs that its text tower reads; the bundle decides that, not the request.
        server: The server's process.
    """

    tuning = "each stage called by the client over one gRPC channel"

    def __init__(
        self, client: triton.InferenceServerClient, stages: Sequence[Stage], rerank: int, server: psutil.Process
    ) -> None:
        self.rerank = rerank
        self._client, self._stages, self._server = client, stages, server

    async def ask(self, query: str, user: str, rerank: int) -> list[dict[str, Any]]:
        """The ten best items.

        Raises:
            ValueError: Where the bundle's text tower reads another number of pairs.
            RefusedError: Where a stage's queue is full, or the question waited there too long.
        """
        if rerank != self.rerank:
            raise ValueError(f"rerank: found {rerank}; allowed: {self.rerank}, as the bundle was exported")
        tensors = request(query, user)
        for stage in self._stages:
            tensors |= await self._infer(stage, tensors)
        return items(tensors)

    def resident_bytes(self) -> int:
        """Memory that the server's processes hold."""
        return sum(each.memory_info().rss for each in (self._server, *self._server.children(recursive=True)))

    async def _infer(self, stage: Stage, tensors: Mapping[str, Any]) -> dict[str, Any]:
        inputs = []
        for wanted in stage.inputs:
            array = tensors[wanted.name]
            tensor = triton.InferInput(wanted.name, array.shape, np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        try:
            reply = await self._client.infer(stage.name, inputs)
        except InferenceServerException as error:
            if error.status() == UNAVAILABLE:
                raise RefusedError(str(error)) from None
            raise
        return {output.name: reply.as_numpy(output.name) for output in stage.outputs}


def request(query: str, user: str) -> dict[str, Any]:
    """What the first stage gets, `[1, 1]` each."""
    strings = {"QUERY": query, "USER_ID": user, "OPTIONS": '{"k": 10}'}
    return {name: np.array([[value.encode()]], np.object_) for name, value in strings.items()}


def items(tensors: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The last stage's answer, as the HTTP peers give theirs; an empty id fills up a short list."""
    answer = zip(tensors["ITEM_ID"][0], tensors["SCORE"][0].tolist(), tensors["ITEM"][0], strict=True)
    return [
        {"item_id": item_id.decode(), "score": score, "title": json.loads(item)["fields"].get("title", "")}
        for item_id, score, item in answer
        if item_id
    ]


@asynccontextmanager
async def staged(bundle: Path) -> AsyncIterator[StagedPeer]:
    """Serves a bundle with a process a stage, and connects to it.

    Raises:
        PeerError: Where the server stops, or is not ready in time.
    """
    spec = GraphSpec.from_dict(json.loads((bundle / "manifest.json").read_text("utf-8"))["spec"])
    http, grpc, metrics = (free_port() for _ in range(3))
    command = [sys.executable, "-m", "fuserank.cli", "serve", str(bundle.resolve()), "--target", "ensemble_cpu"]
    command += ["--http-port", str(http), "--grpc-port", str(grpc), "--metrics-port", str(metrics)]
    with started(command, {}) as server:
        await healthy(server, f"http://127.0.0.1:{http}/v2/health/ready")
        options = [("grpc.max_receive_message_length", LARGEST_MESSAGE)]
        async with triton.InferenceServerClient(f"127.0.0.1:{grpc}", channel_args=options) as client:
            yield StagedPeer(client, search_stages(spec), spec.text_candidates, psutil.Process(server.process.pid))
