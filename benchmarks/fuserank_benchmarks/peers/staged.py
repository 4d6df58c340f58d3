"""The peer without an ensemble: FuseRank's own stages in Triton, called one after another by the client.

It measures what one call for the whole graph saves: five calls over gRPC, with every tensor between two stages passing
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
from fuserank_benchmarks.peers.process import free_port, run_process, wait_until_healthy
from fuserank_ensemble.graph.stages import Stage, search_stages
from fuserank_ensemble.spec import GraphSpec

UNAVAILABLE = "StatusCode.UNAVAILABLE"
MAX_MESSAGE_BYTES = 64 << 20  # pairs and vectors of a request pass through the client


class StagedPeer:
    """A running server whose stages are called one by one.

    Args:
        client: Connected to it.
        stages: In the order of the graph.
        rerank: Pairs that its text tower reads, which the bundle decides.
        server: The server's process.
    """

    tuning = "each stage called by the client over one gRPC channel"

    def __init__(
        self, client: triton.InferenceServerClient, stages: Sequence[Stage], rerank: int, server: psutil.Process
    ) -> None:
        self.rerank = rerank
        self._client, self._stages, self._server = client, stages, server

    async def search(self, query: str, user: str, rerank: int) -> list[dict[str, Any]]:
        """The ten best items.

        Raises:
            ValueError: The bundle's text tower reads another number of pairs.
            RefusedError: A stage's queue is full, or the request waited there too long.
        """
        if rerank != self.rerank:
            raise ValueError(f"rerank: found {rerank}; allowed: {self.rerank}, as the bundle was exported")
        tensors = stage_inputs(query, user)
        for stage in self._stages:
            tensors |= await self._infer(stage, tensors)
        return parse_items(tensors)

    def resident_bytes(self) -> int:
        """Resident memory of the server's processes."""
        return sum(process.memory_info().rss for process in (self._server, *self._server.children(recursive=True)))

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


def stage_inputs(query: str, user: str) -> dict[str, Any]:
    """Inputs of the first stage, strings `[1, 1]`."""
    strings = {"QUERY": query, "USER_ID": user, "OPTIONS": '{"k": 10}'}
    return {name: np.array([[value.encode()]], np.object_) for name, value in strings.items()}


def parse_items(tensors: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The last stage's items in the form of the HTTP peers, without the empty ids that pad a short list."""
    rows = zip(tensors["ITEM_ID"][0], tensors["SCORE"][0].tolist(), tensors["ITEM"][0], strict=True)
    return [
        {"item_id": item_id.decode(), "score": score, "title": json.loads(item)["fields"].get("title", "")}
        for item_id, score, item in rows
        if item_id
    ]


@asynccontextmanager
async def run_staged(bundle: Path) -> AsyncIterator[StagedPeer]:
    """Serves a bundle with a process for each stage until the end of the block, and connects to it.

    Raises:
        PeerError: The server stops, or is not ready in time.
    """
    spec = GraphSpec.from_dict(json.loads((bundle / "manifest.json").read_text("utf-8"))["spec"])
    http, grpc, metrics = (free_port() for _ in range(3))
    command = [
        sys.executable,
        "-m",
        "fuserank.cli",
        "serve",
        str(bundle.resolve()),
        "--target",
        "ensemble_cpu",
        "--state",
        "none",
    ]
    command += ["--http-port", str(http), "--grpc-port", str(grpc), "--metrics-port", str(metrics)]
    with run_process(command, {}) as server:
        await wait_until_healthy(server, f"http://127.0.0.1:{http}/v2/health/ready")
        options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
        async with triton.InferenceServerClient(f"127.0.0.1:{grpc}", channel_args=options) as client:
            yield StagedPeer(client, search_stages(spec), spec.text_candidates, psutil.Process(server.process.pid))
