"""Progress of long steps: bars on a terminal, elsewhere a line every 15 seconds, and a line when a step is done.

Both estimate the time that a step still takes, from how fast it has been.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

SPEED_SECONDS = 600.0  # that the time left is estimated from: an epoch may take minutes
LINE_SECONDS = 15.0  # between the lines of a step that goes on, where no terminal shows bars


class Progress:
    """Shows the steps of an export: bars on a terminal, lines in a log."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    def note(self, text: str) -> None:
        """Says something between steps."""
        self._console.print(text, style="dim", markup=False, highlight=False)

    def warn(self, text: str) -> None:
        """Says between steps what is likely to be wrong."""
        self._console.print(f"warning: {text}", style="yellow", markup=False, highlight=False)

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Shows one step; yields a function to call with how much more is done."""
        started = time.monotonic()
        with self._bars() as bars, self._lines(bars, started):
            task = bars.add_task(name, total=total)
            yield lambda more: bars.advance(task, more)
        rate = f", {total / (time.monotonic() - started):,.0f}/s" if total else ""
        self._done(name, started, rate)

    @contextmanager
    def steps(self) -> Iterator[Callable[[str, int, int], None]]:
        """Shows steps that a callee names: yields a function of name, done and total."""
        started = time.monotonic()
        tasks = {}
        with self._bars() as bars, self._lines(bars, started):

            def advanced(name: str, done: int, total: int) -> None:
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=total)
                bars.update(tasks[name], completed=done, total=total)

            yield advanced
        if tasks:  # of no step there is nothing to tell
            self._done(", ".join(tasks), started, "")

    def _bars(self) -> Bars:
        columns = (
            *(SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
            *(TimeElapsedColumn(), TimeRemainingColumn()),
        )
        off = not self._console.is_terminal
        return Bars(*columns, console=self._console, transient=True, disable=off, speed_estimate_period=SPEED_SECONDS)

    @contextmanager
    def _lines(self, bars: Bars, started: float) -> Iterator[None]:
        """Prints how far the latest task is, every `LINE_SECONDS` until the step ends; nothing on a terminal."""
        if self._console.is_terminal:
            yield
            return
        ended = threading.Event()

        def report() -> None:
            while not ended.wait(LINE_SECONDS):
                for task in bars.tasks[-1:]:
                    share = f": {task.completed:,.0f} of {task.total:,.0f}" if task.total else ""
                    left = task.time_remaining
                    estimate = f", about {left:,.0f} s left" if left else ""
                    text = f"… {task.description}{share} ({time.monotonic() - started:.0f} s{estimate})"
                    self._console.print(text, markup=False, highlight=False)

        reporter = threading.Thread(target=report, daemon=True)
        reporter.start()
        try:
            yield
        finally:
            ended.set()
            reporter.join()

    def _done(self, name: str, started: float, rate: str) -> None:
        self._console.print(f"✓ {name} ({time.monotonic() - started:.1f} s{rate})", markup=False, highlight=False)
