"""The dense channel on Milvus: for catalogues that outgrow one machine, or that the GPUs of a cluster should search.

Milvus filters by itself: a request's filter travels as an expression, see `fuserank_ensemble.retrieval.milvus.filters`.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fuserank_ensemble.catalog.filters import CATEGORIES, Kind
from fuserank_ensemble.retrieval.channel import Channel, ChannelQuery, ChannelUnavailableError, RankedItems
from fuserank_ensemble.retrieval.channels.dense import DenseChannel
from fuserank_ensemble.retrieval.milvus.filters import ROW, expression, rows_expression

if TYPE_CHECKING:
    from types import ModuleType

    from pymilvus import MilvusClient

T = TypeVar("T")

VECTOR = "vector"
MAX_LIMIT = 16_384  # Milvus answers no search with more


class MilvusNotInstalledError(ImportError):
    """A package of the extra `milvus` is missing."""


def connect(uri: str, token: str, timeout_s: float) -> MilvusClient:
    """Connects to a cluster (`http(s)://…`) or opens a local file (`….db`, needs milvus-lite).

    Args:
        uri: Where Milvus is.
        token: `user:password` or an API key; empty for none.
        timeout_s: Seconds to wait for an answer.

    Raises:
        MilvusNotInstalledError: Without the package pymilvus.
        pymilvus.exceptions.MilvusException: Where nothing answers.
    """
    client: type[MilvusClient] = _extra("pymilvus").MilvusClient
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # every failure is raised, and logged once by the caller
    return client(uri, token=token, timeout=timeout_s)


class MilvusDenseChannel(Channel):
    """Items whose text is near the query, found by Milvus.

    A call that fails opens a circuit breaker for `pause_s`: until then every search fails at once instead of waiting
    for the time-out. The first search after that tries again, connecting anew. Retries are pymilvus' own.
    """

    declaration = DenseChannel.declaration

    def __init__(
        self,
        uri: str,
        token: str,
        collection: str,
        kinds: Mapping[str, Kind],
        *,
        timeout_s: float = 1.0,
        connect_timeout_s: float = 3.0,
        pause_s: float = 5.0,
        search_params: Mapping[str, Any] | None = None,
    ) -> None:
        """Connects on the first search, so that a server starts while Milvus is down.

        Args:
            uri: Where Milvus is, see `connect`.
            token: `user:password` or an API key; empty for none.
            collection: The bundle's collection, see `fuserank_export.milvus.collection`.
            kinds: The catalogue's filterable fields, `Items.columns.kinds`.
            timeout_s: Seconds a search may take, pymilvus' own retries included.
            connect_timeout_s: Seconds that connecting may take.
            pause_s: Seconds without a try after a failure.
            search_params: Parameters of the index, such as `{"itopk_size": 512}` of GPU_CAGRA.

        Raises:
            MilvusNotInstalledError: Without the package pybreaker.
        """
        self._uri, self._token, self._collection, self._kinds = uri, token, collection, dict(kinds)
        self._timeout_s, self._connect_timeout_s = timeout_s, connect_timeout_s
        self._params = dict(search_params or {})
        self._client: MilvusClient | None = None
        self._vectors: type[np.floating[Any]] = np.float32
        self._cause = ""
        self._pybreaker = _extra("pybreaker")
        self._breaker = self._pybreaker.CircuitBreaker(
            fail_max=1,
            reset_timeout=pause_s,
            exclude=[lambda error: not isinstance(error, ChannelUnavailableError)],  # a bug says nothing about Milvus
            throw_new_error_on_trip=False,
        )

    def search(self, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`; requests with the same filter are one call to Milvus.

        Raises:
            ChannelUnavailableError: Where Milvus does not answer, or failed less than `pause_s` ago.
        """
        results = [RankedItems.empty()] * len(queries)
        groups: dict[tuple[str, bool], list[int]] = {}
        for i, query in enumerate(queries):
            if query.is_embedded and (query.allowed is None or query.allowed.any()):
                groups.setdefault(self._filter(query), []).append(i)
        for (filter_, masked), positions in groups.items():
            limit = MAX_LIMIT if masked else min(depth, MAX_LIMIT)
            answers = self._call([queries[i] for i in positions], filter_, limit)
            for i, ranked in zip(positions, answers, strict=True):
                mask = queries[i].allowed
                if masked and mask is not None:
                    kept = mask[ranked.rows]
                    ranked = RankedItems(ranked.rows[kept], ranked.scores[kept])  # noqa: PLW2901
                results[i] = ranked.top(depth)
        return results

    def _filter(self, query: ChannelQuery) -> tuple[str, bool]:
        """The filter's expression, and whether the mask has to be applied to what comes back."""
        if query.allowed is None and query.condition is None:
            return "", False
        # An item of several categories lies in each: their levels are no condition in Milvus' language.
        if query.condition is not None and (query.allowed is None or CATEGORIES not in self._kinds):
            return expression(query.condition, self._kinds), False
        assert query.allowed is not None
        by_rows = rows_expression(query.allowed)
        return ("", True) if by_rows is None else (by_rows, False)

    def _call(self, queries: Sequence[ChannelQuery], filter_: str, limit: int) -> list[RankedItems]:
        """Searches through the circuit breaker."""
        try:
            answers: list[RankedItems] = self._breaker.call(self._search, queries, filter_, limit)
        except self._pybreaker.CircuitBreakerError:
            raise self._unavailable(f"{self._cause}; next try in {self._breaker.reset_timeout:g} s or less") from None
        return answers

    def _search(self, queries: Sequence[ChannelQuery], filter_: str, limit: int) -> list[RankedItems]:
        client = self._client or self._guard(self._open_collection, self._connect_timeout_s, "connecting")
        self._client = client
        data = list(np.stack([query.embedding for query in queries]).astype(self._vectors))
        answers = self._guard(
            lambda: client.search(
                self._collection, data, filter=filter_, limit=limit, anns_field=VECTOR, timeout=self._timeout_s,
                search_params={"metric_type": "IP", "params": self._params},
            ),
            self._timeout_s,
            "searching",
        )  # fmt: skip
        return [
            RankedItems(
                np.fromiter((hit[ROW] for hit in hits), np.int32, len(hits)),
                np.fromiter((hit["distance"] for hit in hits), np.float32, len(hits)),
            )
            for hits in answers
        ]

    def _open_collection(self) -> MilvusClient:
        """A client whose collection is there and loaded."""
        from pymilvus import DataType  # noqa: PLC0415  an optional extra

        client = connect(self._uri, self._token, self._connect_timeout_s)
        schema = client.describe_collection(self._collection, timeout=self._connect_timeout_s)
        types = {entry["name"]: entry["type"] for entry in schema["fields"]}
        self._vectors = np.float16 if types[VECTOR] == DataType.FLOAT16_VECTOR else np.float32
        client.load_collection(self._collection, timeout=self._connect_timeout_s)
        return client

    def _guard(self, call: Callable[[], T], timeout_s: float, doing: str) -> T:
        """Runs a call with a hard limit: pymilvus reconnects inside its retries, beyond its own time-out."""
        import grpc  # noqa: PLC0415  comes with pymilvus
        from pymilvus.exceptions import MilvusException  # noqa: PLC0415  an optional extra

        try:
            return _within(call, timeout_s)
        except FutureTimeoutError:
            self._cause = f"{doing} took more than {timeout_s:g} s"
        except (MilvusException, grpc.RpcError, OSError, ValueError) as error:
            self._cause = f"{doing} failed: {_first_line(error)}"
        # The next try starts from nothing: a channel that broke once may hang on to a dead address.
        self._client = None
        raise self._unavailable(self._cause)

    def _unavailable(self, what: str) -> ChannelUnavailableError:
        return ChannelUnavailableError(f"dense: Milvus at {self._uri}, collection {self._collection}: {what}")


def _within(call: Callable[[], T], timeout_s: float) -> T:
    """Returns the call's result, or raises FutureTimeoutError.

    It runs in a daemon thread, so that a call that hangs does not hold up the process's exit.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="milvus", daemon=True).start()
    return future.result(timeout_s)


def _extra(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise MilvusNotInstalledError(f"{package} is not installed; install fuserank[milvus]") from None


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]
