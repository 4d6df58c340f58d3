"""Changes of the catalogue as immutable values: what `catalog` takes and returns.

Only the server validates a change: values are sent as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from fuserank.events import FieldError


@dataclass(frozen=True)
class ChangeOutcome:
    """What became of one change.

    Attributes:
        position: Its place in the log; None where it was not taken.
        duplicate: Whether it had been there before.
        error: Why it was not taken.
    """

    position: int | None = None
    duplicate: bool = False
    error: FieldError | None = None


@dataclass(frozen=True)
class CatalogResult:
    """What became of a batch of changes. They are durable: they survive the end of any process.

    Attributes:
        changes: The outcome of each, in their order.
        position: Of the last one in the log; `search` with this `min_position` knows them all. 0 where none was taken.
        changed: How many are new.
        duplicates: How many had been there before.
        rejected: How many have an `error`.
    """

    changes: tuple[ChangeOutcome, ...]
    position: int = 0
    changed: int = 0
    duplicates: int = 0
    rejected: int = 0
