"""The blocking client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from fuserank import frames, wire, wire_changes, wire_events, wire_status, wire_texts
from fuserank.changes import CatalogResult
from fuserank.connection import DEFAULT_RETRIES, DEFAULT_TIMEOUT, DEFAULT_URL, TLS, Connection
from fuserank.errors import FuseRankError, from_triton, translate_errors
from fuserank.events import Event, Profile, ProfileChange, RecordResult
from fuserank.types import (
    Embeddings,
    Request,
    RerankResult,
    SearchOptions,
    SearchResult,
    ServerStatus,
    SimilarOptions,
    Suggestion,
    TextKind,
)

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame, IntoDataFrameT


class Client:
    """Searches and recommends over one gRPC channel. Threads may share a client.

    Examples:
        >>> with Client("127.0.0.1:8001") as client:
        ...     for item in client.search("half gallon milk", user="900", k=5):
        ...         print(item.id, item.score, item.fields["title"])

    Args:
        url: Host and port of Triton's gRPC endpoint, without a scheme. Where the host stands for several servers (a
            headless Service), or several addresses are given, they are asked by turns. The names of several addresses
            are looked up once, and with `tls` they need its `server_name`.
        timeout: Hard limit of one call in seconds, its retries included; `None` waits for ever.
        tls: Certificates for an encrypted connection; not encrypted where `None`.
        headers: Sent with every call, such as `{"authorization": "Bearer …"}`.
        retries: How often gRPC repeats a call that found the server unavailable, with growing pauses; 0 to 4.
            Searches change nothing on the server, and an event that is sent again counts once: repeating is safe.
        hedge_after: Seconds without an answer after which a search, `similar`, `suggest`, `embed` or `rerank` is asked
            once more, of the next server; the first answer counts, and the other call is cancelled. None, the default,
            asks once: a hedge makes slow answers rarer and costs the servers its share of calls. A good value is the
            p95.
        background: Whether the server answers what others ask first, however long these wait: for nightly jobs.

    Raises:
        ConfigurationError: Where a setting is unusable. The server itself is first met at the first call.
    """

    def __init__(
        self,
        url: str | Sequence[str] = DEFAULT_URL,
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        tls: TLS | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int = DEFAULT_RETRIES,
        hedge_after: float | None = None,
        background: bool = False,
    ) -> None:
        # Loads gRPC, which takes far longer than the rest of the package: whoever only imports it does not wait.
        from tritonclient.grpc import InferenceServerClient

        self._connection = Connection(url, timeout, tls, headers, retries, hedge_after, background)
        self._triton = InferenceServerClient(**self._connection.triton_arguments())

    def search(self, query: str = "", user: str = "", **options: Unpack[SearchOptions]) -> SearchResult:
        """Ranks items for a query, a user, or both.

        Args:
            query: What was typed; empty for a recommendation.
            user: Id of the user who asks; empty for none.
            **options: See `Request`; those left out take the server's defaults.

        Raises:
            InvalidRequestError: Names the field, what it held and what is allowed.
            FuseRankError: Another class of `fuserank.errors`.
        """
        return self.search_batch([Request(query, user, **options)])[0]

    def recommend(self, user: str, **options: Unpack[SearchOptions]) -> SearchResult:
        """Ranks items for a user without a query; see `search` for options and errors."""
        return self.search("", user, **options)

    def search_batch(self, requests: Sequence[Request]) -> list[SearchResult]:
        """Answers several requests with one call, or with one for each 32, which is the server's limit.

        Args:
            requests: The requests. Triton answers or refuses a call as a whole: one invalid request fails the others
                of its call, and the calls behind it are not sent.

        Returns:
            One result for each request, in their order.

        Raises:
            FuseRankError: As `search` does.
        """
        results: list[SearchResult] = []
        for call in wire.split_calls(requests):
            results += wire.decode_results(self._ask(wire.encode_search(call)), rows=len(call))
        return results

    def search_frame(
        self,
        requests: IntoDataFrameT,
        *,
        keep: Sequence[str] = (),
        batch: int = wire.REQUESTS_A_CALL,
        **options: Unpack[SearchOptions],
    ) -> IntoDataFrameT:
        """Answers the requests of a frame, one a row, with a frame of the same library, one ranked item a row.

        Args:
            requests: A frame of polars, pandas or PyArrow. Its columns are `query`, `user` and options, named as those
                of `Request`; a cell without a value leaves its option to `options`.
            keep: Columns of the requests' frame that are to stand beside their items, such as an id of yours.
            batch: How many requests a call asks; the server's limit is 32.
            **options: Of every request, see `Request`.

        Returns:
            `row` (of the request, from 0), `query`, `user` and `keep` as they were, `rank` (from 1), `item_id` and
            `score`; where there are any, `probability`, `propensity`, `reasons` (the strongest first, with `explain`)
            and `degraded`; then the items' fields, as `item_…` where the name is taken. A request without an answer
            has no row. Facets and the rest of `Status` has `search_batch` alone.

        Raises:
            InvalidRequestError: Names the field, what it held, what is allowed, and the row; or the column.
            ConfigurationError: Where narwhals is not installed, the extra `fuserank[frames]`.
            FuseRankError: As `search` does.
        """
        return frames.run(frames.search(requests, keep, batch, options), self.search_batch)

    def similar(self, item_id: str = "", *, text: str = "", **options: Unpack[SimilarOptions]) -> SearchResult:
        """Finds items like an item, a free text or a basket, or what goes with it: one of the three is given.

        Args:
            item_id: An item of the catalogue, which is not in the answer.
            text: A text that the items resemble, such as the title of an item that the catalogue lacks.
            **options: `k`, `filter`, `fields`, `explain`, `language` and `min_position`, as for `search`; `user` and
                `session_id`, whose hidden items are left out; `basket`, ids of items in place of one; `relation`,
                `substitute` for what may stand in, the default, or `complement` for what is had together with it.

        Returns:
            Items, best first. The score is the cosine of the texts' embeddings; the order also counts users in
            common and relations of the catalogue, so that scores need not fall. Of a complement it is how many times
            as often as by chance it is had with what was asked about.

        Raises:
            InvalidRequestError: Names the field, what it held and what is allowed; such as an unknown item.
            FuseRankError: Another class of `fuserank.errors`.
        """
        response = self._ask(wire.encode_similar(item_id, text, options))
        return wire.decode_results(response, rows=1)[0]

    def suggest(self, prefix: str, count: int | None = None, user: str | None = None) -> list[Suggestion]:
        """Completes a query while it is typed; spelling mistakes are tolerated.

        Args:
            prefix: What was typed so far; empty for the most popular completions.
            count: How many completions to return at most; the server's default where None.
            user: Who types: of what fits as well, what they have had comes first.

        Returns:
            Completions, best first; none where nothing fits.

        Raises:
            FuseRankError: As `similar` does.
        """
        return wire.decode_suggestions(self._ask(wire.encode_suggest(prefix, count, user)))

    def embed(self, texts: Sequence[str], kind: TextKind = "document") -> Embeddings:
        """Returns the vectors of texts, by the encoder of the bundle.

        Args:
            texts: 1 to 1,000, none of them empty. One that is too long for the encoder is cut, and `status.truncated`
                names it.
            kind: `query` where the texts are what people type, `document` where they are what is searched: an encoder
                may want a prefix before queries.

        Raises:
            InvalidRequestError: Names the field, what it held and what is allowed.
            FuseRankError: Another class of `fuserank.errors`.
        """
        return wire_texts.decode_embeddings(self._ask(wire_texts.encode_embed(texts, kind)), len(texts))

    def rerank(
        self, query: str, documents: Sequence[str], *, top_n: int | None = None, raw_scores: bool = False
    ) -> RerankResult:
        """Orders documents, which need not be items, by how well each answers a query.

        Args:
            query: What was asked.
            documents: 1 to 1,000 texts. One that is too long is cut, and `truncated` says so.
            top_n: How many of the best are returned; all where None.
            raw_scores: Whether a text tower's logits are returned in place of scores from 0 to 1.

        Raises:
            InvalidRequestError: Names the field, what it held and what is allowed.
            FuseRankError: Another class of `fuserank.errors`.
        """
        wire_texts.check_top_n(top_n)
        response = self._ask(wire_texts.encode_rerank(query, documents, raw_scores=raw_scores))
        return wire_texts.decode_ranking(response, documents, top_n)

    def record(self, events: Sequence[Event]) -> RecordResult:
        """Records what shoppers did; when it returns, the events survive the end of any process.

        Args:
            events: At most 1,000. One that is not valid is not taken, and the others are.

        Returns:
            The outcome of each event, and the position that `search` takes as `min_position`.

        Raises:
            InvalidRequestError: Where they are no list of events, or too many.
            IncompatibleServerError: Where the server keeps no state.
            FuseRankError: Another class of `fuserank.errors`; calling again with the same `event_id`s is safe.
        """
        return wire_events.decode_record(self._call("infer", **wire_events.encode_record(events)))

    def record_frame(self, events: IntoDataFrame) -> RecordResult:
        """Records the events of a frame, one a row, 1,000 a call.

        Args:
            events: A frame of polars, pandas or PyArrow, its columns named as the fields of `Event`; a cell without a
                value leaves its field out. With a column `event_id` the frame may be sent again.

        Returns:
            As `record`, of all calls: `events[row]` is the outcome of a row.

        Raises:
            InvalidRequestError: Names a column that no event has.
            ConfigurationError: Where narwhals is not installed, the extra `fuserank[frames]`.
            FuseRankError: As `record` does. Where earlier calls were answered, it names the row to go on from.
        """
        return frames.run(frames.record(events), self.record)

    def upsert(self, items: Sequence[Mapping[str, Any]]) -> CatalogResult:
        """Changes items of the catalogue, or adds new ones; when it returns, that survives the end of any process.

        Args:
            items: At most 1,000, each with its `item_id` and the fields that change, None for a value that goes; where
                it has a `change_id`, the same one counts once. A change that is not valid is not taken, and the others
                are. A new item needs a `title`; one that was deleted is back.

        Returns:
            The outcome of each change, and the position that `search` takes as `min_position`.

        Raises:
            InvalidRequestError: Where they are no list of items, or too many.
            IncompatibleServerError: Where the server keeps no state.
            FuseRankError: Another class of `fuserank.errors`.
        """
        return wire_changes.decode_catalog(self._call("infer", **wire_changes.encode_upserts(items)))

    def upsert_frame(self, items: IntoDataFrame, *, clear_empty: bool = False) -> CatalogResult:
        """Changes items of the catalogue, or adds new ones, by a frame, one a row, 1,000 a call.

        Args:
            items: A frame of polars, pandas or PyArrow with a column `item_id` and one for each field that changes.
            clear_empty: Whether a cell without a value takes the item's value away; it leaves it where False.

        Returns:
            As `upsert`, of all calls: `changes[row]` is the outcome of a row.

        Raises:
            ConfigurationError: Where narwhals is not installed, the extra `fuserank[frames]`.
            FuseRankError: As `upsert` does. Where earlier calls were answered, it names the row to go on from.
        """
        return frames.run(frames.upsert(items, clear_empty), self.upsert)

    def delete(self, item_ids: Sequence[str]) -> CatalogResult:
        """Takes items out of the catalogue: they are never shown again, until they are upserted. As `upsert`."""
        return wire_changes.decode_catalog(self._call("infer", **wire_changes.encode_deletes(item_ids)))

    def change(self, changes: Sequence[Mapping[str, Any]]) -> CatalogResult:
        """Changes and deletes items in the order given, with one call; errors and outcomes as of `upsert`.

        Args:
            changes: At most 1,000, each an `item_id` with `fields`, the new values by field, or with `delete` true;
                where it has a `change_id`, the same one counts once.
        """
        return wire_changes.decode_catalog(self._call("infer", **wire_changes.encode_changes(changes)))

    def profile(self, user: str) -> Profile:
        """Returns what the server knows of a user; errors as for `record`."""
        return wire_events.decode_profile(self._call("infer", **wire_events.encode_profile(user, "get")))

    def forget(self, user: str) -> ProfileChange:
        """Erases what the log holds of a user, who counts as new from then on; errors as for `record`."""
        return self._change(user, "forget")

    def merge(self, user: str, *, from_session: str = "", from_user: str = "") -> ProfileChange:
        """Makes what an anonymous visitor did so far a user's; one of the two is given. Errors as for `record`."""
        sources = {"from_session": from_session, "from_user": from_user}
        return self._change(user, "merge", {name: value for name, value in sources.items() if value})

    def opt_out(self, user: str) -> ProfileChange:
        """Lets a user be answered without anything personal; errors as for `record`."""
        return self._change(user, "opt_out")

    def opt_in(self, user: str) -> ProfileChange:
        """Lets a user be answered personally again; errors as for `record`."""
        return self._change(user, "opt_in")

    def status(self) -> ServerStatus:
        """Returns the state of the server, asked for with seven small calls; the last is a search for one item.

        Raises:
            ServerUnavailableError: Where no server answers.
            FuseRankError: Where its liveness or readiness cannot be asked for another reason.
        """
        replies: dict[str, Any] = {}
        for name, call in wire_status.list_status_calls().items():
            with suppress(*() if call.required else (FuseRankError,)):
                replies[name] = self._call(call.method, **call.arguments)
        return wire_status.decode_status(replies)

    def close(self) -> None:
        """Closes the channel; further calls raise `ClientClosedError`. May be called twice."""
        self._triton.close()

    def _change(self, user: str, action: str, options: Mapping[str, str] | None = None) -> ProfileChange:
        return wire_events.decode_change(self._call("infer", **wire_events.encode_profile(user, action, options)))

    def _ask(self, arguments: Mapping[str, Any]) -> Any:
        """Calls a model that changes nothing; where that takes long, and hedging is wished, twice."""
        arguments = {**arguments, **self._connection.question_arguments()}
        hedge_after = self._connection.hedge_after
        if hedge_after is None:
            return self._call("infer", **arguments)
        answers: SimpleQueue[tuple[Any, Any]] = SimpleQueue()
        calls: list[Any] = []

        def put(result: Any, error: Any) -> None:
            answers.put((result, error))

        def ask() -> None:
            calls.append(self._call("async_infer", callback=put, **arguments))

        try:
            ask()
            try:
                result, error = answers.get(timeout=hedge_after)
            except Empty:
                ask()
                result, error = answers.get()
                if error is not None:  # the other may still succeed
                    result, error = answers.get()
        finally:
            for call in calls:
                call.cancel()
        if error is not None:
            raise from_triton(error, self._connection.timeout)
        return result

    def _call(self, method: str, **arguments: Any) -> Any:
        with translate_errors(self._connection.timeout):
            return getattr(self._triton, method)(**arguments, **self._connection.call_arguments())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
