"""The items that match a query by its words, as a channel that knows words finds them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NO_ROWS = np.empty(0, np.int32)


@dataclass(frozen=True)
class WordMatches:
    """The items that match a query by its words.

    Attributes:
        rows: Best first, int32 without repeats `[items]`.
        complete: Whether these are all.
        sufficient: Whether nothing else matches, such as where the query is an item's code.
        unknown: Words of the query that no item has, nor anything like them: they exclude nothing.
    """

    rows: NDArray[np.int32] = field(default_factory=lambda: NO_ROWS)
    complete: bool = True
    sufficient: bool = False
    unknown: tuple[str, ...] = ()
