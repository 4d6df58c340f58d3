"""The endpoint of both HTTP peers: embed, search, fuse, and rerank the best with a cross-encoder.

uvicorn creates it from the environment: `PEER` is a JSON object of `inputs` (the folder), `index` (`flat`, `ivf`),
and either `infinity` (a URL) or `backend`, `threads` and `batch`.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import faiss
import orjson
from fastapi import FastAPI, Request, Response

# Relative: the peers' interpreters know this package by its last name alone.
from .fusion import TEXTS, Catalog, build_index, fuse
from .models import InfinityModels, LocalModels, Models


class Endpoint:
    """Answers requests.

    Args:
        catalog: The catalogue and the users' habits.
        index: FAISS over the catalogue's texts.
        models: Encoder and cross-encoder.
    """

    def __init__(self, catalog: Catalog, index: Any, models: Models) -> None:
        self._catalog, self._index, self._models = catalog, index, models

    async def search(self, query: str, user: str, k: int, rerank: int) -> list[dict[str, Any]]:
        """The best `k` items; the first `rerank` of the fused list are ordered by the cross-encoder."""
        catalog, nearest = self._catalog, None
        if query:
            vector = await self._models.embed(query)
            _, texts = self._index.search(vector[None], TEXTS)
            nearest = catalog.items_of([text for text in texts[0].tolist() if text >= 0])
        ranked = fuse(nearest, catalog.habits_of(user), catalog.popular)
        if rerank and query:
            head = ranked[:rerank]
            scores = await self._models.rerank(query, [catalog.texts[row] for row, _ in head])
            reranked = sorted(zip(scores, head, strict=True), key=lambda scored: -scored[0])
            ranked = [(row, score) for score, (row, _) in reranked] + ranked[rerank:]
        return [
            {"item_id": catalog.item_ids[row], "score": score, "title": catalog.titles[row]}
            for row, score in ranked[:k]
        ]


def create() -> FastAPI:
    """Creates the application that the environment describes."""
    settings = json.loads(os.environ["PEER"])
    folder = Path(settings["inputs"])
    faiss.omp_set_num_threads(1)
    endpoints: list[Endpoint] = []

    @asynccontextmanager
    async def open_endpoint(app: FastAPI) -> AsyncIterator[None]:
        del app
        catalog, index = Catalog.open(folder), build_index(folder, settings["index"])
        models: Models
        if "infinity" in settings:
            models = InfinityModels(settings["infinity"])
        else:
            models = LocalModels(folder, settings["backend"], settings["threads"], settings["batch"], index.d)
        endpoints.append(Endpoint(catalog, index, models))
        yield

    app = FastAPI(lifespan=open_endpoint)

    async def health() -> dict[str, str]:
        return {"status": "ready"}

    async def search(request: Request) -> Response:
        # orjson in place of FastAPI's validation is faster.
        body = orjson.loads(await request.body())
        items = await endpoints[0].search(body["query"], body["user"], body.get("k", 10), body.get("rerank", 0))
        return Response(orjson.dumps({"items": items}), media_type="application/json")

    app.add_api_route("/health", health)
    app.add_api_route("/search", search, methods=["POST"])
    return app
