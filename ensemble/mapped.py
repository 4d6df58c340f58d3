"""Arrays on disk, mapped into memory: every process of a server shares one copy in the page cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def mapped(path: Path) -> NDArray[Any]:
    """Maps a `.npy` file read-only, as a plain array: the `memmap` subclass makes every operation slower."""
    return np.asarray(np.load(path, mmap_mode="r"))
