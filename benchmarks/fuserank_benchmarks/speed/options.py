"""Options of the speed benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class SpeedOptions:
    """What is measured.

    Attributes:
        bundle: A bundle without a text tower.
        tower: A bundle with one; left out where it is not there.
        shallow: A bundle with a tower of one layer; left out where it is not there.
        shop: Folder of the catalogue's and the log's Parquet files.
        peers: The folder that `make bench-peers` writes.
        device: What runs the engines.
        quick: Measures ratios only.
    """

    bundle: Path
    tower: Path
    shallow: Path
    shop: Path
    peers: Path
    device: Device = "cpu"
    quick: bool = False
