"""Elasticsearch and OpenSearch: the documents of an index, as elasticdump writes them and as a search answers."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from fuserank_export.layouts.layout import Layout
from fuserank_export.layouts.mapping import FileMapping
from fuserank_export.layouts.variants import to_frame

_SOURCE = "_source"
_OWN = ("_index", "_type", "_id", "_score", "_version", "_seq_no", "_primary_term", "_ignored", "sort", _SOURCE)


def _prepare(chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Gives each document the fields of its source."""
    for chunk in chunks:
        names = [str(name) for name in chunk.columns if str(name) != _SOURCE]
        rows = [
            {
                **(row[_SOURCE] if isinstance(row.get(_SOURCE), dict) else {}),
                **{str(name): value for name, value in row.items() if name != _SOURCE},
            }
            for row in chunk.to_dict("records")
        ]
        yield to_frame(rows, chunk.index.tolist(), names)


LAYOUTS = (
    Layout(
        name="elasticsearch",
        title="documents of Elasticsearch or OpenSearch",
        kind="catalog",
        signatures=(("_id", _SOURCE),),
        mapping=FileMapping(
            columns={
                "item_id": ["item_id", "product_id", "_id"],
                "title": ["title", "name", "product_title", "product_name"],
                "description": ["description", "body", "content"],
                "category": ["category", "categories", "product_type"],
                "brand": ["brand", "manufacturer", "vendor"],
                "price": ["price", "price.amount"],
                "image_url": ["image_url", "image", "thumbnail"],
            },
            ignore=[name for name in _OWN if name not in ("_id", _SOURCE)],
        ),
        prepare=_prepare,
        explained="the fields of a document's _source become columns",
        comments={"item_id": "the log must name items by it"},
    ),
)
