"""Callers that ask without a pause, and what became of every request."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fuserank.client import Client
from fuserank.errors import FuseRankError
from support.busy_machine import PATIENCE, wait_until

QUERIES = ("tea", "green tea", "milk", "")


@dataclass
class Load:
    """What callers have met so far."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def wait_for_answers(self, more: int) -> None:
        """Waits until this many further requests have been answered."""
        enough = self.answered + more
        assert wait_until(lambda: self.answered >= enough), f"{self.answered} answered, {self.failures[:3]}"

    def stop(self) -> None:
        """Lets every caller finish its request and no other begin."""
        self.stopped.set()
        for thread in self.threads:
            thread.join()


@contextmanager
def load(url: str, callers: int = 4, retries: int = 0, pause: float = 0.0) -> Iterator[Load]:
    """Callers of one server, from the block's start to its end.

    Args:
        url: Where they ask.
        callers: How many ask at once.
        retries: How often a client repeats what found nobody; 0 shows every lost request.
        pause: Seconds between two requests of a caller.
    """
    found = Load()
    lock = threading.Lock()

    def call(number: int) -> None:
        with Client(url, timeout=PATIENCE, retries=retries) as client:
            for query in itertools.islice(itertools.cycle(QUERIES), number, None):
                if found.stopped.is_set():
                    return
                started = time.monotonic()
                try:
                    client.search(query, f"caller-{number}", k=3)
                except FuseRankError as error:
                    with lock:
                        found.failures.append(f"{type(error).__name__}: {error.message}")
                else:
                    with lock:
                        found.answered += 1
                        found.seconds.append(time.monotonic() - started)
                time.sleep(pause)

    found.threads += [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    for thread in found.threads:
        thread.start()
    try:
        yield found
    finally:
        found.stop()
