"""From a validated catalogue and log to the arrays that serving maps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Column, Columns, Kind
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.text import render_all, template_fields
from fuserank_ensemble.contract.options import nearest
from fuserank_export.sources.catalog import Catalog
from fuserank_export.sources.report import InputError

# Free text, pictures and the id itself are returned, but are no use as a filter.
_NOT_FILTERED = {"item_id", "title", "description", "image_url"}
_STANDARD = {"title", "description", "category", "brand", "price", "in_stock", "created_at", "image_url"}
_DECIMAL = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d+)?")
LONGEST_WORD = 200  # characters


@dataclass(frozen=True)
class Indexed:
    """A catalogue ready to be searched, but for its vectors.

    Attributes:
        items: The arrays.
        texts: The distinct texts, in the order of `items.text`.
        records: Each item's fields without the missing ones.
        created: When each item was created, epoch seconds, NaN where unknown, float64 `[items]`.
    """

    items: Items
    texts: list[str]
    records: list[dict[str, Any]]
    created: NDArray[np.float64]

    @property
    def titles(self) -> list[str]:
        """Each item's title."""
        return [str(record["title"]) for record in self.records]


def index_catalog(catalog: Catalog, text_template: str, typed: bool) -> Indexed:
    """Builds the arrays of a catalogue.

    Args:
        catalog: The validated catalogue, sorted by id.
        text_template: How an item's text is laid out, see `fuserank_ensemble.catalog.text.render`.
        typed: Whether the file said which of its extra columns are numbers. CSV does not: there a column is one
            if all its values read as plain decimal numbers ("12.5", but not "007", which is an article number).

    Raises:
        InputError: Where the template names a field that no catalogue of this kind has.
    """
    frame = catalog.items if typed else _with_numbers(catalog.items)
    _check_template(text_template, frame)
    records = [_record(row) for row in frame.to_dict("records")]
    rendered = render_all(text_template, records)
    codes, texts = pd.factorize(np.asarray(rendered, object))
    columns = {
        name: column(frame[name]) for name in frame.columns if name not in _NOT_FILTERED and _filterable(frame[name])
    }
    items = Items(
        np.asarray([item_id.encode() for item_id in frame["item_id"]], "S"),
        codes.astype(np.int32),
        Columns(len(frame), columns),
    )
    created = (
        frame["created_at"].astype("Float64").to_numpy(np.float64, na_value=np.nan)
        if "created_at" in frame
        else np.full(len(frame), np.nan)
    )
    return Indexed(items, [str(text) for text in texts], records, created)


def _with_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.copy()
    for name in frame.columns.difference([*_STANDARD, "item_id"]):
        present = frame[name].dropna()
        if len(present) and present.map(lambda v: isinstance(v, str) and bool(_DECIMAL.fullmatch(v))).all():
            frame[name] = pd.to_numeric(frame[name])
    return frame


def _filterable(values: pd.Series[Any]) -> bool:
    """Whether a column may become a filter: free text and nested objects are returned, not filtered on."""
    return bool(values.map(lambda v: len(v) <= LONGEST_WORD if isinstance(v, str) else not isinstance(v, dict)).all())


def column(values: pd.Series[Any]) -> Column:
    """Turns one column into codes or numbers; its kind follows from its values."""
    present = values.dropna()
    kind = column_kind(str(values.name), present)
    if kind == "number":
        return Column(kind, pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan))
    if kind == "bool":
        return Column(kind, values.map({True: 1, False: 0}).fillna(-1).to_numpy(np.int32))
    if kind == "keywords":
        lists = [value if isinstance(value, (list, tuple)) else [value] if _is_known(value) else [] for value in values]
        owners = np.repeat(np.arange(len(lists), dtype=np.int32), [len(value) for value in lists])
        codes, words = _coded([str(word) for value in lists for word in value])
        return Column(kind, codes, words, owners)
    codes, words = _coded([None if pd.isna(v) else str(v) for v in values])
    return Column(kind, codes, words)


def column_kind(name: str, present: pd.Series[Any]) -> Kind:
    """How a column can be filtered on."""
    if name == "category":
        return "category"
    if len(present) and present.map(lambda v: isinstance(v, (list, tuple))).any():
        return "keywords"
    if pd.api.types.is_bool_dtype(present.infer_objects()):
        return "bool"
    return "number" if name == "price" or pd.api.types.is_numeric_dtype(present.infer_objects()) else "keyword"


def _coded(words: Sequence[str | None]) -> tuple[NDArray[np.int32], list[str]]:
    known = sorted({word for word in words if word is not None})
    code = {word: i for i, word in enumerate(known)}
    return np.asarray([-1 if word is None else code[word] for word in words], np.int32), known


def _record(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): _plain(value) for name, value in row.items() if _is_known(value)}


def _is_known(value: Any) -> bool:
    return isinstance(value, (list, tuple, dict)) or not (pd.isna(value) or value == "")


def _plain(value: Any) -> Any:
    """JSON knows Python's types, not numpy's."""
    return value.item() if isinstance(value, np.generic) else value


def _check_template(template: str, frame: pd.DataFrame) -> None:
    # The catalogue's standard fields may be named even where this shop has none of them.
    known = set(frame.columns) | _STANDARD
    for name in template_fields(template):
        if name not in known:
            raise InputError(
                f"--text-template: names {{{name}}}, which the catalogue has not; known: {nearest(name, known)}"
            )
