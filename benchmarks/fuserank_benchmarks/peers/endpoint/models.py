"""The two ways in which the peers run their models: over HTTP in Infinity, or in the endpoint's own process.

Both take what waits together: a batch of queries, or of (query, text) pairs, becomes one run of a model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Models(Protocol):
    """An encoder and a cross-encoder."""

    async def embed(self, query: str) -> NDArray[np.float32]:
        """A query's vector, L2-normalised, `[dim]`."""
        ...

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers the query."""
        ...


class InfinityModels:
    """Infinity over HTTP, through one pool of connections; it batches by itself.

    Args:
        url: Where Infinity listens.
    """

    def __init__(self, url: str) -> None:
        import aiohttp  # noqa: PLC0415  each peer imports what it runs with

        self._session = aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0))

    async def embed(self, query: str) -> NDArray[np.float32]:
        """See `Models`."""
        reply = await self._post("/embeddings", {"model": "encoder", "input": [query]})
        return np.asarray(reply["data"][0]["embedding"], np.float32)

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """See `Models`."""
        reply = await self._post("/rerank", {"model": "tower", "query": query, "documents": list(texts)})
        scores = [0.0] * len(texts)
        for result in reply["results"]:
            scores[result["index"]] = float(result["relevance_score"])
        return scores

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        import orjson  # noqa: PLC0415

        data, kind = orjson.dumps(body), {"Content-Type": "application/json"}
        async with self._session.post(path, data=data, headers=kind) as reply:
            reply.raise_for_status()
            return orjson.loads(await reply.read())


class LocalModels:
    """sentence-transformers in this process; one thread runs the models, so that requests do not fight for cores.

    Args:
        folder: The inputs, with `encoder` and `tower`.
        backend: `torch` or `onnx`.
        threads: Of one model run.
        batch: Requests of one run at most; 1 runs each alone.
        dim: The vectors' width, to be held against the encoder's.
    """

    def __init__(self, folder: Path, backend: str, threads: int, batch: int, dim: int) -> None:
        import torch  # noqa: PLC0415
        from sentence_transformers import CrossEncoder, SentenceTransformer  # noqa: PLC0415

        torch.set_num_threads(threads)
        settings: dict[str, Any] = {"backend": backend, "device": "cpu"}
        if backend == "onnx":
            settings["model_kwargs"] = {"provider": "CPUExecutionProvider", "session_options": _options(threads)}
        encoder = SentenceTransformer(str(folder / "encoder"), **settings)
        if (found := encoder.get_sentence_embedding_dimension()) != dim:
            raise ValueError(f"{folder / 'encoder'}: makes vectors of {found}, the catalogue has {dim}")
        tower = CrossEncoder(str(folder / "tower"), **settings) if (folder / "tower").is_dir() else None
        pool = ThreadPoolExecutor(1)

        def embed(queries: list[str]) -> list[NDArray[np.float32]]:
            return list(encoder.encode(queries, normalize_embeddings=True, show_progress_bar=False))

        def rerank(asked: list[tuple[str, Sequence[str]]]) -> list[list[float]]:
            if tower is None:
                raise ValueError(f"{folder}: has no tower; prepare it with --text-tower")
            pairs = [(query, text) for query, texts in asked for text in texts]
            scores = iter(tower.predict(pairs, batch_size=max(32, len(pairs)), show_progress_bar=False).tolist())
            return [[next(scores) for _ in texts] for _, texts in asked]

        self._embed, self._rerank = Batcher(embed, batch, pool), Batcher(rerank, batch, pool)

    async def embed(self, query: str) -> NDArray[np.float32]:
        """See `Models`."""
        vector: NDArray[np.float32] = await self._embed.submit(query)
        return vector

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """See `Models`."""
        scores: list[float] = await self._rerank.submit((query, texts))
        return scores


class Batcher:
    """Runs what has queued up while the last run was on, as one run.

    Args:
        run: Takes a list and returns as many results.
        size: Longest list.
        pool: Where it runs.
    """

    def __init__(self, run: Callable[[list[Any]], list[Any]], size: int, pool: ThreadPoolExecutor) -> None:
        self._run, self._size, self._pool = run, size, pool
        self._waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: Any) -> Any:
        """The item's result."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
            try:
                results = await asyncio.get_running_loop().run_in_executor(
                    self._pool, self._run, [item for item, _ in taken]
                )
            except Exception as error:  # whatever breaks a run, its callers get it and the next run goes on
                results = [error] * len(taken)
            for (_, future), result in zip(taken, results, strict=True):
                if future.done():
                    continue  # its caller has gone
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)


def _options(threads: int) -> Any:
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # A thread that spins takes a core from the other processes; our own graph does without as well.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
