"""A validated catalogue as the arrays that serving maps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.catalog.text import normalise, render, template_fields
from fuserank_ensemble.contract.errors import nearest
from fuserank_ensemble.understanding.quantities import Quantities
from fuserank_export.index.columns import to_column
from fuserank_export.index.products import product_codes
from fuserank_export.index.records import LazyRecords, frame_records
from fuserank_export.index.shop import Shop
from fuserank_export.index.texts import TextColumn
from fuserank_export.index.units import unit_table
from fuserank_export.sources.catalog import Catalog
from fuserank_export.sources.report import InputError

# Free text, pictures and the id itself are returned, but are no use as a filter.
_NOT_FILTERED = {"item_id", "title", "description", "image_url"}
_STANDARD = {"title", "description", "category", "brand", "price", "in_stock", "created_at", "image_url"}
LONGEST_WORD = 200  # characters
DISTINCT_VALUES = 100_000  # texts whose synonyms are replaced once: brands, categories and titles repeat
NO_SYNONYMS = Synonyms({})


@dataclass(frozen=True)
class Indexed:
    """A catalogue ready to be searched, but for its vectors.

    Attributes:
        items: The arrays.
        texts: The distinct texts, in the order of `items.text`.
        records: Each item's fields without the missing ones.
        titles: Each item's title.
        synonyms: Words that are replaced before an item is embedded and searched.
        created: When each item was created, epoch seconds, NaN where unknown, float64 `[items]`.
    """

    items: Items
    texts: TextColumn
    records: LazyRecords
    titles: TextColumn
    created: NDArray[np.float64]
    synonyms: Synonyms

    @property
    def searched(self) -> LazyRecords:
        """The records as they are searched: with synonyms replaced."""
        return replace_synonyms(self.records, self.synonyms)

    @property
    def shop(self) -> Shop:
        """The part of it that learning needs."""
        return Shop(self.items, self.titles, self.created)


def replace_synonyms(records: LazyRecords, synonyms: Synonyms) -> LazyRecords:
    """Returns records with the synonyms in their texts replaced."""
    if not len(synonyms):
        return records
    replaced = lru_cache(maxsize=DISTINCT_VALUES)(lambda text: synonyms.replace(normalise(text)))
    return records.map(
        lambda record: {name: replaced(value) if isinstance(value, str) else value for name, value in record.items()}
    )


def index_catalog(
    catalog: Catalog, text_template: str, synonyms: Synonyms = NO_SYNONYMS, records: LazyRecords | None = None
) -> Indexed:
    """Builds the arrays of a catalogue.

    Args:
        catalog: The validated catalogue, sorted by id.
        text_template: How an item's text is laid out, see `fuserank_ensemble.catalog.text.render`.
        synonyms: What is replaced before items are embedded and searched.
        records: The same items' records; None makes them of the catalogue's rows.

    Raises:
        InputError: Where the template names a field that no catalogue of this kind has.
    """
    frame = catalog.items
    _check_template(text_template, frame)
    records = frame_records(frame) if records is None else records
    searched = replace_synonyms(records, synonyms)
    codes, texts = TextColumn(render(text_template, record) for record in searched).distinct()
    columns = {
        name: to_column(frame[name]) for name in frame.columns if name not in _NOT_FILTERED and _filterable(frame[name])
    }
    items = Items(
        np.asarray([item_id.encode() for item_id in frame["item_id"]], "S"),
        codes,
        Columns(len(frame), columns),
        product_codes(records, Quantities(unit_table())),
    )
    created = (
        frame["created_at"].astype("Float64").to_numpy(np.float64, na_value=np.nan)
        if "created_at" in frame
        else np.full(len(frame), np.nan)
    )
    return Indexed(items, texts, records, TextColumn(map(str, frame["title"])), created, synonyms)


def _filterable(values: pd.Series[Any]) -> bool:
    """Whether a column may become a filter: free text and nested objects are returned, not filtered on."""
    return bool(values.map(lambda v: len(v) <= LONGEST_WORD if isinstance(v, str) else not isinstance(v, dict)).all())


def _check_template(template: str, frame: pd.DataFrame) -> None:
    # The catalogue's standard fields may be named even where this shop has none of them.
    known = set(frame.columns) | _STANDARD
    for name in template_fields(template):
        if name not in known:
            raise InputError(
                f"--text-template: names {{{name}}}, which the catalogue has not; known: {nearest(name, known)}"
            )
