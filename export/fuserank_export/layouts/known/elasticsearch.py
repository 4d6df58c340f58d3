"""Elasticsearch and OpenSearch: the documents of an index, as elasticdump writes them and as a search answers."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from fuserank_export.layouts.layout import Layout
from fuserank_export.layouts.mapping import FileMapping
from fuserank_export.layouts.variants import to_frame

_ID, _SOURCE = "_id", "_source"


def _prepare(chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Gives each document its id and the fields of its source alone."""
    for chunk in chunks:
        rows = [
            {_ID: name, **(source if isinstance(source, dict) else {})}
            for name, source in zip(chunk[_ID], chunk[_SOURCE], strict=True)
        ]
        yield to_frame(rows, chunk.index.tolist(), [_ID])


LAYOUTS = (
    Layout(
        name="elasticsearch",
        title="documents of Elasticsearch or OpenSearch",
        kind="catalog",
        signatures=((_ID, _SOURCE),),
        mapping=FileMapping(
            columns={
                "item_id": ["item_id", "product_id", _ID],
                "title": ["title", "name", "product_title", "product_name"],
                "description": ["description", "body", "content"],
                "category": ["category", "categories", "product_type"],
                "brand": ["brand", "manufacturer", "vendor"],
                "price": ["price", "price.amount"],
                "image_url": ["image_url", "image", "thumbnail"],
            },
        ),
        prepare=_prepare,
        explained="the fields of a document's _source become columns; its index, score and the like are left out",
        comments={"item_id": "the log must name items by it"},
    ),
)
