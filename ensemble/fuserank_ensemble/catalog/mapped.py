"""Arrays on disk, mapped into memory: every process of a server shares one copy in the page cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


def mapped(path: Path, mode: Literal["r", "c"] = "r") -> NDArray[Any]:
    """Maps a `.npy` file as a plain array: the `memmap` subclass makes every operation slower.

    Args:
        path: The file.
        mode: `r` is read-only; `c` is for libraries that want what they could write to: what they wrote would be theirs
            alone.
    """
    return np.asarray(np.load(path, mmap_mode=mode))
