"""Sizes of the shops whose exports are measured, and what runs beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

QUIET, BUSY = "quiet", "busy"
LOADS = (QUIET, BUSY)


@dataclass(frozen=True)
class Shape:
    """A size of shop.

    Attributes:
        items: Items of the catalogue.
        events: Events of the log.
        busy: Whether it is measured beside a busy neighbour, too.
        embedded: Whether its texts' vectors are made beforehand, so that the encoder's time is left out.
    """

    items: int
    events: int
    busy: bool = False
    embedded: bool = False


SHAPES: Mapping[str, Shape] = {
    "1k": Shape(1_000, 10_000),
    "4k": Shape(4_000, 310_000, busy=True),
    "92k": Shape(92_000, 1_500_000),
    "1m": Shape(1_000_000, 10_000_000, embedded=True),
}
