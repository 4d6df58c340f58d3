"""Progress on a terminal: a bar for everything that may take longer than two seconds, a line when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars


class Progress:
    """Shows the steps of an export. On a terminal bars move; in a log every finished step leaves one line."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    def note(self, text: str) -> None:
        """Says something between steps."""
        self._console.print(text, style="dim", markup=False, highlight=False)

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Shows one step; yields a function to call with how much more is done."""
        started = time.monotonic()
        with self._bars() as bars:
            task = bars.add_task(name, total=total)
            yield lambda more: bars.advance(task, more)
        rate = f", {total / (time.monotonic() - started):,.0f}/s" if total else ""
        self._done(name, started, rate)

    @contextmanager
    def steps(self) -> Iterator[Callable[[str, int, int], None]]:
        """Shows steps that a callee names: yields a function of name, done and total."""
        started = time.monotonic()
        tasks = {}
        with self._bars() as bars:

            def advanced(name: str, done: int, total: int) -> None:
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=total)
                bars.update(tasks[name], completed=done, total=total)

            yield advanced
        self._done(", ".join(tasks), started, "")

    def _bars(self) -> Bars:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        off = not self._console.is_terminal
        return Bars(*columns, TimeElapsedColumn(), console=self._console, transient=True, disable=off)

    def _done(self, name: str, started: float, rate: str) -> None:
        self._console.print(f"✓ {name} ({time.monotonic() - started:.1f} s{rate})", markup=False, highlight=False)
