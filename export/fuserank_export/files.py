"""Files that are written in one step."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file in one step, so that a reader, or a run after a crash, sees all of it or none.

    Args:
        path: The file. What is written first has a name of its own beside it: in containers that share a volume,
            process ids and host names are no one's own.
        content: Its bytes.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with partial.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
