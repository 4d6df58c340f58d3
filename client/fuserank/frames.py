"""Frames of polars, pandas or PyArrow in place of requests, events and items, read and written through narwhals.

Columns are named as the fields that they hold, and a cell without a value leaves its field out. What is done with a
frame is a generator that yields what to send and is sent the answers, so that both clients do the same. Narwhals is
imported with the first frame.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fuserank.changes import CatalogResult
from fuserank.errors import ConfigurationError, FuseRankError, InvalidRequestError
from fuserank.events import Event, RecordResult
from fuserank.types import Item, Request, SearchOptions, SearchResult

if TYPE_CHECKING:
    import narwhals as nw

CHANGES_A_CALL = 1_000  # the limit of `record` and `upsert`

_REQUEST_COLUMNS = tuple(field.name for field in fields(Request))
_EVENT_COLUMNS = tuple(Event.__annotations__)
_OWN_COLUMNS = ("row", "rank", "item_id", "score", "probability", "propensity", "reasons", "degraded")
_REQUEST_IDS = {"user", "session_id", "history"}
_EVENT_IDS = {"event_id", "item_id", "user_id", "session_id"}
_ITEM_IDS = {"item_id", "change_id"}

Sent = TypeVar("Sent")
Answer = TypeVar("Answer")
Frame = TypeVar("Frame")
Outcomes = TypeVar("Outcomes", RecordResult, CatalogResult)


# ---------------------------------------------------------------- what is done with a frame


def search(
    frame: Frame, keep: Sequence[str], batch: int, options: SearchOptions
) -> Generator[list[Request], list[SearchResult], Frame]:
    """Yields requests, is sent their results, and returns the ranked items as a frame; see `Client.search_frame`."""
    if not isinstance(batch, int) or batch < 1:
        raise InvalidRequestError(f"BATCH: found {batch!r}; allowed: a whole number above 0")
    rows = _opened(frame)
    _check_columns(rows, (*_REQUEST_COLUMNS, *keep), "a request; name columns of your own in `keep`")
    if taken := [name for name in keep if name in _OWN_COLUMNS or name not in rows.columns]:
        raise InvalidRequestError(
            f"KEEP: found {taken[0]!r}; allowed: a column of the frame, by another name than {', '.join(_OWN_COLUMNS)}"
        )
    requests = [Request(**{**options, **cells}) for cells in _read(rows, _REQUEST_COLUMNS, _REQUEST_IDS)]
    results: list[SearchResult] = []
    for start in range(0, len(requests), batch):
        part = requests[start : start + batch]
        try:
            results += yield part
        except InvalidRequestError as error:
            yield from _name_refused(start, part, error)
    return cast(Frame, _write(rows, keep, results))


def record(frame: Any) -> Generator[list[Event], RecordResult, RecordResult]:
    """Yields events, is sent what became of them, and returns that of all; see `Client.record_frame`."""
    rows = _opened(frame)
    _check_columns(rows, _EVENT_COLUMNS, "an event")
    events = [cast(Event, cells) for cells in _read(rows, _EVENT_COLUMNS, _EVENT_IDS)]
    return (yield from _send(events, RecordResult(())))


def upsert(frame: Any, clear_empty: bool) -> Generator[list[dict[str, Any]], CatalogResult, CatalogResult]:
    """Yields items, is sent what became of them, and returns that of all; see `Client.upsert_frame`."""
    rows = _opened(frame)
    empty = dict.fromkeys(name for name in rows.columns if clear_empty and name not in _ITEM_IDS)
    items = [{**empty, **cells} for cells in _read(rows, rows.columns, _ITEM_IDS)]
    return (yield from _send(items, CatalogResult(())))


def run(steps: Generator[Sent, Answer, Frame], call: Callable[[Sent], Answer]) -> Frame:
    """Calls with each thing that the steps yield, and returns what they return."""
    try:
        sent = next(steps)
        while True:
            try:
                answer = call(sent)
            except FuseRankError as error:
                sent = steps.throw(error)
            else:
                sent = steps.send(answer)
    except StopIteration as done:
        return cast(Frame, done.value)


async def run_async(steps: Generator[Sent, Answer, Frame], call: Callable[[Sent], Awaitable[Answer]]) -> Frame:
    """As `run`, from asyncio."""
    try:
        sent = next(steps)
        while True:
            try:
                answer = await call(sent)
            except FuseRankError as error:
                sent = steps.throw(error)
            else:
                sent = steps.send(answer)
    except StopIteration as done:
        return cast(Frame, done.value)


def _name_refused(start: int, part: list[Request], error: FuseRankError) -> Generator[list[Request], Any, None]:
    """Raises the error of the first request that is refused, with its row: a server refuses a call as a whole."""
    rows = range(start, start + len(part))
    while part:
        half = (len(part) + 1) // 2
        try:
            yield part[:half]
        except InvalidRequestError as found:
            if half == 1:
                raise _noted(found, f"row {start} of the frame") from None
            part = part[:half]
        else:
            start, part = start + half, part[half:]
    raise _noted(error, f"rows {rows[0]} to {rows[-1]} of the frame, none of them alone")


def _send(values: list[Any], sum_: Outcomes) -> Generator[list[Any], Outcomes, Outcomes]:
    """Yields as many values at a time as a call may have; returns the outcomes of all as one."""
    for start in range(0, len(values), CHANGES_A_CALL):
        try:
            found = yield values[start : start + CHANGES_A_CALL]
        except FuseRankError as error:
            note = f"rows 0 to {start - 1} are taken; go on from row {start}" if start else "no row is taken"
            raise _noted(error, note) from None
        sum_ = _add(sum_, found)
    return sum_


def _add(one: Outcomes, other: Outcomes) -> Outcomes:
    """What became of two batches: counts and outcomes are added, the position is the latest."""
    summed = {field.name: getattr(one, field.name) + getattr(other, field.name) for field in fields(one)}
    return replace(one, **{**summed, "position": max(one.position, other.position)})


def _noted(error: FuseRankError, note: str) -> FuseRankError:
    return type(error)(f"{error.message} ({note})", code=error.code)


# ---------------------------------------------------------------- reading


def _opened(frame: Any) -> nw.DataFrame[Any]:
    try:
        import narwhals  # an extra, which no other call needs
    except ImportError:
        raise ConfigurationError(
            "narwhals is not installed, which reads and writes frames: pip install 'fuserank[frames]'"
        ) from None
    try:
        return narwhals.from_native(frame, eager_only=True)
    except ValueError as error:  # narwhals' words for columns of one name
        raise InvalidRequestError(f"FRAME: {error}") from None
    except TypeError:
        found = f"{type(frame).__module__.partition('.')[0]}.{type(frame).__qualname__}".removeprefix("builtins.")
        raise InvalidRequestError(
            f"FRAME: found {found}; allowed: a frame of polars, pandas or PyArrow in memory (collect a lazy one)"
        ) from None


def _check_columns(rows: nw.DataFrame[Any], known: Sequence[str], whose: str) -> None:
    for name in map(str, rows.columns):
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InvalidRequestError(f"FRAME: found a column {name!r}; {hint}allowed: {', '.join(known)}, of {whose}")


def _read(rows: nw.DataFrame[Any], names: Sequence[str], ids: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yields the cells of each row that have a value, as JSON holds them; those of `ids` as text."""
    columns = {name: (rows[name].to_list(), rows[name].is_null().to_list()) for name in names if name in rows.columns}
    for row in range(len(rows)):
        cells = {}
        for name, (values, empty) in columns.items():
            if not empty[row]:
                try:
                    cells[name] = _to_id(values[row]) if name in ids else _to_plain(values[row])
                except TypeError:
                    raise InvalidRequestError(
                        f"FRAME: found {values[row]!r} in column {name!r}, row {row}; allowed: text, numbers, "
                        "booleans, dates, and lists and objects of them"
                    ) from None
        yield cells


def _to_id(value: Any) -> Any:
    """An id as text. Where some rows have none, pandas holds whole numbers as 900.0: that is "900"."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        return str(int(value))
    return [_to_id(part) for part in value] if _is_list(value) else _to_plain(value)


def _to_plain(value: Any) -> Any:
    """A cell as JSON holds it: lists and objects of text, numbers and ISO 8601.

    Raises:
        TypeError: Where it is something else.
    """
    if isinstance(value, Mapping):  # structs of a column share their keys: those without a value go
        return {name: _to_plain(part) for name, part in value.items() if part is not None}
    if _is_list(value):
        return [_to_plain(part) for part in value]
    if isinstance(value, date):  # and datetimes
        return value.isoformat()
    if isinstance(value, Decimal):
        value = float(value)
    if hasattr(value, "item"):  # one of numpy's
        value = value.item()
    if value is not None and not isinstance(value, str | int | float):
        raise TypeError(type(value))
    return int(value) if isinstance(value, float) and value.is_integer() else value  # 10.0 of a column with gaps


def _is_list(value: Any) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, str | bytes | Mapping)


# ---------------------------------------------------------------- writing


def _write(rows: nw.DataFrame[Any], keep: Sequence[str], results: Sequence[SearchResult]) -> Any:
    """Returns the items of all results as a frame of the kind that the requests came in."""
    import narwhals as nw

    found = [(row, rank, item) for row, result in enumerate(results) for rank, item in enumerate(result, start=1)]
    items = [item for _, _, item in found]
    given: dict[str, list[Any]] = {
        "probability": [item.probability for item in items],
        "propensity": [item.propensity for item in items],
        "reasons": [_reasons(item) for item in items],
        "degraded": [list(results[row].status.degraded) for row, _, _ in found],
    }
    asked = [name for name in dict.fromkeys(("query", "user", *keep)) if name in rows.columns]
    taken = {*_OWN_COLUMNS, *asked}
    for name in dict.fromkeys(name for item in items for name in item.fields):
        given[f"item_{name}" if name in taken else name] = [item.fields.get(name) for item in items]

    def series(name: str, values: list[Any], dtype: nw.dtypes.DType | None = None) -> nw.Series[Any]:
        return nw.new_series(name, values, dtype, backend=rows.implementation)

    # Cells of the requests are taken over as they are, so that they join with the frame that they came from.
    requests = rows.with_row_index("row").select("row", *asked)[[row for row, _, _ in found]]
    return (
        nw.maybe_reset_index(requests)
        .with_columns(
            series("rank", [rank for _, rank, _ in found], nw.Int64()),
            series("item_id", [item.id for item in items], nw.String()),
            series("score", [item.score for item in items], nw.Float64()),
            *(series(name, _of_one_type(values)) for name, values in given.items() if any(map(_is_given, values))),
        )
        .to_native()
    )


def _reasons(item: Item) -> list[str]:
    """Returns why the item stands where it does, what placed it first and then the strongest signal."""
    strongest = sorted(item.signals, key=lambda signal: (signal.name != "placement", -signal.contribution))
    return [s.reason for s in strongest if s.reason and (s.name == "placement" or s.contribution > 0)]


def _is_given(value: Any) -> bool:
    return value is not None and value != []


def _of_one_type(values: list[Any]) -> list[Any]:
    """Returns values that a column may hold: numbers of one type; texts where some are a list and others are none."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    if len(kinds) > 1:
        return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return values
