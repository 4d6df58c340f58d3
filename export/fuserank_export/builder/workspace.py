"""Where a bundle is built, step by step, until it is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fuserank_export.builder.options import OutputOptions
from fuserank_export.progress import Progress
from fuserank_export.repository.place import partial_bundle


@dataclass(frozen=True)
class Workspace:
    """What every step of an export needs.

    Attributes:
        folder: The bundle while it is being built.
        out: Where it goes, and its seed.
        progress: Shows the steps.
        undo: Takes back what was done outside of the folder, where no bundle comes of it.
    """

    folder: Path
    out: OutputOptions
    progress: Progress
    undo: ExitStack

    @property
    def index(self) -> Path:
        """Folder of what is searched while serving."""
        return self.folder / "index"

    def engines(self, stage: str) -> Path:
        """Folder of a stage's engines."""
        return self.folder / "model_repository" / stage / "1"


@contextmanager
def open_workspace(
    out: OutputOptions,
    progress: Progress,
    abandoned: Callable[[Path], None] = lambda partial: None,
    *,
    beside: bool = False,
) -> Iterator[Workspace]:
    """Yields a workspace whose bundle takes its place when the block ends.

    What was left of runs that were killed is `abandoned`, also of bundles `beside` this one, as of `partial_bundle`.

    Raises:
        InputError: Where the place is taken.
    """
    with ExitStack() as undo:
        with partial_bundle(out.folder, out.force, abandoned, beside=beside) as folder:
            yield Workspace(folder, out, progress, undo)
        undo.pop_all()  # the bundle stands
    shutil.rmtree(out.resume, ignore_errors=True)
