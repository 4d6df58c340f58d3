"""The endpoint of the LanceDB peer: embed, search words and vectors, rerank with the user's history.

uvicorn creates it from the environment: `PEER` is a JSON object of `inputs` (the folder), `table` (see `lance.Table`),
`nprobes`, `depth`, `threads` (of the encoder), `batch` (queries of one run of it) and `model` (LightGBM's file, or
null for the order of the search).
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import orjson
from fastapi import FastAPI, Request, Response

# Relative: the peers' interpreters know this package by its last name alone.
from .behaviour import Behaviour, Columns, Log
from .encoder import Encoder
from .lance import HybridSearch, Table
from .models import Batcher


class Endpoint:
    """Answers requests.

    Args:
        settings: See the module.
        search: The table's search.
    """

    def __init__(self, settings: dict[str, Any], search: HybridSearch) -> None:
        folder = Path(settings["inputs"])
        self._search, self._depth = search, settings["depth"]
        self._items = json.loads((folder / "items.json").read_text("utf-8"))
        encoder = Encoder(folder, settings["threads"])
        self._encode = Batcher(encoder.embed, settings["batch"], ThreadPoolExecutor(1))
        self._model, self._behaviour = None, None
        if settings["model"]:
            log = Log.open(folder)
            moment = float(log.timestamp.max()) + 1
            self._model = lightgbm.Booster(model_file=settings["model"])
            self._behaviour = Behaviour(log, Columns.open(folder), moment)

    async def search(self, query: str, user: str, k: int) -> list[dict[str, Any]]:
        """The best `k` items."""
        hits = await self._search.search(query, await self._encode.submit(query), self._depth)
        rows, scores = hits.rows, hits.relevance
        if self._model is not None and self._behaviour is not None and len(rows):
            # One thread: the cores are busy with other requests.
            scores = np.asarray(self._model.predict(self._behaviour.features(user, hits), num_threads=1))
        order = np.argsort(-scores, kind="stable")[:k]
        return [
            {"item_id": self._items["item_id"][row], "score": score, "title": self._items["title"][row]}
            for row, score in zip(rows[order].tolist(), scores[order].tolist(), strict=True)
        ]


def create() -> FastAPI:
    """Creates the application that the environment describes."""
    settings = json.loads(os.environ["PEER"])
    endpoints: list[Endpoint] = []

    @asynccontextmanager
    async def open_endpoint(app: FastAPI) -> AsyncIterator[None]:
        del app
        table = Table(**settings["table"])
        search = await HybridSearch.open(Path(settings["inputs"]), table, settings["nprobes"])
        endpoints.append(Endpoint(settings, search))
        yield

    app = FastAPI(lifespan=open_endpoint)

    async def health() -> dict[str, str]:
        return {"status": "ready"}

    async def search(request: Request) -> Response:
        body = orjson.loads(await request.body())
        items = await endpoints[0].search(body["query"], body["user"], body.get("k", 10))
        return Response(orjson.dumps({"items": items}), media_type="application/json")

    app.add_api_route("/health", health)
    app.add_api_route("/search", search, methods=["POST"])
    return app
