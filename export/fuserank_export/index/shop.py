"""The part of a catalogue that learning from the log needs."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.items import Items
from fuserank_export.index.records import LazyRecords, written_records
from fuserank_export.index.texts import TextColumn


@dataclass(frozen=True)
class Shop:
    """The part of a catalogue that learning needs.

    Attributes:
        items: The catalogue's arrays.
        titles: The items' titles.
        created: Epoch seconds when each was created, NaN where unknown, float64 `[items]`.
    """

    items: Items
    titles: Sequence[str]
    created: NDArray[np.float64]

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> Self:
        """Returns a bundle's catalogue."""
        created = array("d")

        def titles() -> Iterator[str]:
            for record in bundle_records(bundle):
                created.append(record.get("created_at", np.nan))
                yield str(record["title"])

        return cls(bundle.items, TextColumn(titles()), np.asarray(created))


def bundle_records(bundle: Bundle) -> LazyRecords:
    """Returns every item's fields, in the order of rows."""
    return written_records(bundle.root / "index" / "items", len(bundle.items))
