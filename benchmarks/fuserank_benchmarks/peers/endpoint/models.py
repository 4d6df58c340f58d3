"""The peers' models: over HTTP in Infinity, or in the endpoint's own process.

Both batch waiting requests: several queries, or (query, text) pairs, become one run of a model.
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
        """A relevance score of each text."""
        ...


class InfinityModels:
    """Infinity over HTTP through one pool of connections; Infinity batches.

    Args:
        url: Infinity's address.
    """

    def __init__(self, url: str) -> None:
        import aiohttp  # noqa: PLC0415  only the Infinity peer has it

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
    """sentence-transformers in this process; one thread runs the models, so that requests do not compete for cores.

    Args:
        folder: The inputs, with `encoder` and `tower`.
        backend: `torch` or `onnx`.
        threads: Threads of one model run.
        batch: Requests of one run at most.
        dim: Width of the catalogue's vectors, which the encoder's must equal.
    """

    def __init__(self, folder: Path, backend: str, threads: int, batch: int, dim: int) -> None:
        import torch  # noqa: PLC0415
        from sentence_transformers import CrossEncoder, SentenceTransformer  # noqa: PLC0415

        torch.set_num_threads(threads)
        settings: dict[str, Any] = {"backend": backend, "device": "cpu"}
        if backend == "onnx":
            settings["model_kwargs"] = {"provider": "CPUExecutionProvider", "session_options": _options(threads)}
        encoder = SentenceTransformer(str(folder / "encoder"), trust_remote_code=False, **settings)
        if (width := encoder.get_sentence_embedding_dimension()) != dim:
            raise ValueError(f"{folder / 'encoder'}: makes vectors of {width}, the catalogue has {dim}")
        with_tower = (folder / "tower").is_dir()
        tower = CrossEncoder(str(folder / "tower"), trust_remote_code=False, **settings) if with_tower else None
        pool = ThreadPoolExecutor(1)

        def embed(queries: list[str]) -> list[NDArray[np.float32]]:
            return list(encoder.encode(queries, normalize_embeddings=True, show_progress_bar=False))

        def rerank(requests: list[tuple[str, Sequence[str]]]) -> list[list[float]]:
            if tower is None:
                raise ValueError(f"{folder}: has no tower; prepare it with --text-tower")
            pairs = [(query, text) for query, texts in requests for text in texts]
            scores = iter(tower.predict(pairs, batch_size=max(32, len(pairs)), show_progress_bar=False).tolist())
            return [[next(scores) for _ in texts] for _, texts in requests]

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
    """Runs all items that were submitted during the last run as one batch.

    Args:
        run: Takes a list of items and returns as many results.
        size: Largest batch.
        pool: Runs the batches.
    """

    def __init__(self, run: Callable[[list[Any]], list[Any]], size: int, pool: ThreadPoolExecutor) -> None:
        self._run, self._size, self._pool = run, size, pool
        self._waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: Any) -> Any:
        """Submits an item and returns its result."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
            try:
                results = await asyncio.get_running_loop().run_in_executor(
                    self._pool, self._run, [item for item, _ in batch]
                )
            except Exception as error:  # the batch's callers get the error, and the next batch runs
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue  # its caller was cancelled
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)


def _options(threads: int) -> Any:
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # A spinning thread takes a core from the other processes; FuseRank's engines do not spin either.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
