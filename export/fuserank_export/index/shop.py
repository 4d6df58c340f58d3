"""The part of a catalogue that learning from the log needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items


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
