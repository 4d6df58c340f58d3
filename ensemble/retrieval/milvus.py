"""The dense channel on Milvus: for catalogues that outgrow a machine, or that a cluster's GPUs should search.

Milvus filters by itself, so a request's filter travels as an expression that says exactly what `ensemble.filters` does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ensemble.filters import CATEGORY_SEPARATOR, Kind, Mask, parse
from ensemble.retrieval.channel import ChannelUnavailableError, Hits, Question

if TYPE_CHECKING:
    from pymilvus import MilvusClient

T = TypeVar("T")

ROW, VECTOR = "row", "vector"
MAX_LIMIT = 16_384  # Milvus answers no search with more
MAX_ROWS_IN_FILTER = 65_536  # half a megabyte of numbers
_EVERY, _NONE = f"{ROW} >= 0", f"{ROW} < 0"
_BOUNDS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


class MilvusNotInstalledError(ImportError):
    """The package pymilvus is missing."""


def field_names(kinds: Mapping[str, Kind]) -> dict[str, str]:
    """Each column's field in a collection: numbered, since a column's name may hold anything and a field's may not."""
    return {name: f"field_{position}" for position, name in enumerate(kinds)}


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
    try:
        from pymilvus import MilvusClient  # noqa: PLC0415  an optional extra
    except ImportError:
        raise MilvusNotInstalledError("pymilvus is not installed; install fuserank[milvus]") from None
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # every failure is raised, and told once by who asked
    return MilvusClient(uri, token=token, timeout=timeout_s)


class MilvusDense:
    """Items whose text is near the query, found by Milvus.

    A call that fails closes the channel for `pause_s`: until then every search fails at once instead of waiting
    for the time-out. The first search after that tries again, connecting anew.
    """

    name = "dense"

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
            collection: The bundle's collection, see `export.milvus`.
            kinds: The catalogue's filterable fields, `Items.columns.kinds`.
            timeout_s: Seconds a search may take, pymilvus' own retries included.
            connect_timeout_s: Seconds that connecting may take.
            pause_s: Seconds without a try after a failure.
            search_params: Parameters of the index, such as `{"itopk_size": 512}` of GPU_CAGRA.
        """
        self._uri, self._token, self._collection, self._kinds = uri, token, collection, dict(kinds)
        self._timeout_s, self._connect_timeout_s, self._pause_s = timeout_s, connect_timeout_s, pause_s
        self._params = dict(search_params or {})
        self._client: MilvusClient | None = None
        self._vectors: type[np.floating[Any]] = np.float32
        self._not_before, self._cause = 0.0, ""
        self._lock = threading.Lock()

    def search(self, questions: Sequence[Question], depth: int) -> list[Hits]:
        """See `Channel`; questions with the same filter are one call to Milvus.

        Raises:
            ChannelUnavailableError: Where Milvus does not answer, or failed less than `pause_s` ago.
        """
        found = [Hits.none()] * len(questions)
        groups: dict[tuple[str, bool], list[int]] = {}
        for i, question in enumerate(questions):
            if question.query and (question.allowed is None or question.allowed.any()):
                groups.setdefault(self._filter(question), []).append(i)
        for (expression, masked), members in groups.items():
            limit = MAX_LIMIT if masked else min(depth, MAX_LIMIT)
            answers = self._ask([questions[i] for i in members], expression, limit)
            for i, hits in zip(members, answers, strict=True):
                mask = questions[i].allowed
                if masked and mask is not None:
                    kept = mask[hits.rows]
                    hits = Hits(hits.rows[kept], hits.scores[kept])  # noqa: PLW2901
                found[i] = hits.top(depth)
        return found

    def _filter(self, question: Question) -> tuple[str, bool]:
        """The filter's expression, and whether the mask has to be applied to what comes back."""
        if question.allowed is None and question.condition is None:
            return "", False
        if question.condition is not None:
            return expression(question.condition, self._kinds), False
        assert question.allowed is not None
        by_rows = rows_expression(question.allowed)
        return ("", True) if by_rows is None else (by_rows, False)

    def _ask(self, questions: Sequence[Question], filter_: str, limit: int) -> list[Hits]:
        with self._lock:
            left = self._not_before - time.monotonic()
            if left > 0:
                raise self._unavailable(f"{self._cause}; next try in {left:.1f} s")
            if self._client is None:
                self._client = self._guarded(self._opened, self._connect_timeout_s, "connecting")
            client = self._client
        data = list(np.stack([question.embedding for question in questions]).astype(self._vectors))
        answers = self._guarded(
            lambda: client.search(
                self._collection, data, filter=filter_, limit=limit, anns_field=VECTOR, timeout=self._timeout_s,
                search_params={"metric_type": "IP", "params": self._params},
            ),
            self._timeout_s,
            "searching",
        )  # fmt: skip
        return [
            Hits(
                np.fromiter((hit[ROW] for hit in hits), np.int32, len(hits)),
                np.fromiter((hit["distance"] for hit in hits), np.float32, len(hits)),
            )
            for hits in answers
        ]

    def _opened(self) -> MilvusClient:
        """A client whose collection is there and loaded."""
        from pymilvus import DataType  # noqa: PLC0415  an optional extra

        client = connect(self._uri, self._token, self._connect_timeout_s)
        schema = client.describe_collection(self._collection, timeout=self._connect_timeout_s)
        types = {entry["name"]: entry["type"] for entry in schema["fields"]}
        self._vectors = np.float16 if types[VECTOR] == DataType.FLOAT16_VECTOR else np.float32
        client.load_collection(self._collection, timeout=self._connect_timeout_s)
        return client

    def _guarded(self, call: Callable[[], T], timeout_s: float, doing: str) -> T:
        """Runs a call with a hard limit: pymilvus reconnects inside its retries, beyond its own time-out."""
        import grpc  # noqa: PLC0415  comes with pymilvus
        from pymilvus.exceptions import MilvusException  # noqa: PLC0415  an optional extra

        try:
            return _within(call, timeout_s)
        except FutureTimeoutError:
            self._fail(f"{doing} took more than {timeout_s:g} s")
        except (MilvusException, grpc.RpcError, OSError, ValueError) as error:
            self._fail(f"{doing} failed: {_first_line(error)}")
        raise self._unavailable(self._cause)

    def _fail(self, cause: str) -> None:
        # The next try starts from nothing: a channel that broke once may hang on to a dead address.
        self._client, self._cause, self._not_before = None, cause, time.monotonic() + self._pause_s

    def _unavailable(self, what: str) -> ChannelUnavailableError:
        return ChannelUnavailableError(f"dense: Milvus at {self._uri}, collection {self._collection}: {what}")


def expression(condition: Mapping[str, Any], kinds: Mapping[str, Kind]) -> str:
    """Says a filter in Milvus' language.

    A condition on a missing value is unknown to Milvus, and `not` keeps it unknown; here it is false, and its `not` is
    true. So every condition also asks that the value is there.

    Args:
        condition: A filter as in `ensemble.filters`.
        kinds: The catalogue's filterable fields.

    Raises:
        InvalidRequestError: As `ensemble.filters.parse`.
    """
    parse(condition, kinds)
    return _conjunction(condition, kinds, field_names(kinds))


def _conjunction(condition: Mapping[str, Any], kinds: Mapping[str, Kind], fields: Mapping[str, str]) -> str:
    parts = []
    for name, wanted in condition.items():
        if name == "not":
            parts.append(f"not ({_conjunction(wanted, kinds, fields)})")
        elif name in ("and", "or"):
            parts.append(f" {name} ".join(f"({_conjunction(each, kinds, fields)})" for each in wanted))
        else:
            field = fields[name]
            present = "" if kinds[name] == "keywords" else f"{field} is not null and "
            parts.append(f"{present}({_CONDITIONS[kinds[name]](field, wanted)})")
    return " and ".join(f"({part})" for part in parts) or _EVERY


def rows_expression(allowed: Mask) -> str | None:
    """A mask as the shorter list of rows, to keep or to leave out; None where both are too long to send."""
    kept = int(np.count_nonzero(allowed))
    few_kept = kept <= len(allowed) - kept
    rows = np.flatnonzero(allowed if few_kept else ~allowed)
    if len(rows) > MAX_ROWS_IN_FILTER:
        return None
    if not len(rows):
        return _NONE if few_kept else ""
    return f"{ROW} {'in' if few_kept else 'not in'} [{','.join(map(str, rows))}]"


def _number(field: str, wanted: Any) -> str:
    if isinstance(wanted, dict):
        return " and ".join(f"{field} {_BOUNDS[bound]} {float(to)!r}" for bound, to in wanted.items())
    choices = wanted if isinstance(wanted, list) else [wanted]
    # Adding 0.0 makes -0.0 the 0.0 that it equals; a set in Milvus tells them apart.
    return f"{field} in [{','.join(repr(float(value) + 0.0) for value in choices)}]"


def _bool(field: str, wanted: Any) -> str:
    return f"{field} == {'true' if wanted else 'false'}"


def _keyword(field: str, wanted: Any) -> str:
    return f"{field} in {_quoted_all(wanted)}"


def _keywords(field: str, wanted: Any) -> str:
    return f"array_contains_any({field}, {_quoted_all(wanted)})"


def _category(field: str, wanted: Any) -> str:
    words = wanted if isinstance(wanted, list) else [wanted]
    paths = [CATEGORY_SEPARATOR.join(part.strip() for part in word.split(">")) for word in words]
    return " or ".join(f"{field} == {_quoted(path)} or ({_below(field, path)})" for path in paths)


def _below(field: str, path: str) -> str:
    """What starts with the path and a separator, as a range: `like` would give % and _ in a name a meaning."""
    start = path + CATEGORY_SEPARATOR
    return f"{field} >= {_quoted(start)} and {field} < {_quoted(start[:-1] + chr(ord(start[-1]) + 1))}"


def _quoted_all(wanted: Any) -> str:
    return f"[{','.join(map(_quoted, wanted if isinstance(wanted, list) else [wanted]))}]"


def _quoted(word: str) -> str:
    # A lone surrogate is no UTF-8, which is what travels; no word of the catalogue has one either.
    return '"' + word.encode("utf-8", "replace").decode("utf-8").translate(_ESCAPES) + '"'


_CONDITIONS: dict[Kind, Callable[[str, Any], str]] = {
    "number": _number,
    "bool": _bool,
    "keyword": _keyword,
    "keywords": _keywords,
    "category": _category,
}


def _within(call: Callable[[], T], timeout_s: float) -> T:
    """The call's answer, or FutureTimeoutError; the thread is a daemon, so a call that hangs holds up no exit."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="milvus", daemon=True).start()
    return future.result(timeout_s)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]
