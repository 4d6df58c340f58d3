"""Runs work in forked processes: they share the index and the log with this one, and copy nothing."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from joblib import cpu_count
from threadpoolctl import threadpool_limits

Task = TypeVar("Task")
Result = TypeVar("Result")
_work: Callable[[Any], Any] | None = None  # what the processes that are forked next do: it need not be pickled


def spare_processes(tasks: int) -> int:
    """Returns how many processes may share so many tasks: one a core; one where nothing may be forked.

    Processes that a launcher started share the cores already, and only Linux forks processes with threads safely.
    """
    if sys.platform != "linux" or "RANK" in os.environ:
        return 1
    return max(1, min(int(cpu_count()), tasks))


def map_forked(work: Callable[[Task], Result], tasks: Sequence[Task], processes: int) -> Iterator[Result]:
    """Yields what a function makes of each task, in their order; with one process in this one.

    Args:
        work: The function. Models of ONNX Runtime have threads, which a forked process has not: it must use none.
        tasks: Its arguments, small.
        processes: How many.
    """
    if processes < 2:
        yield from map(work, tasks)
        return
    with _executor(work, processes) as executor:
        yield from executor.map(_run, tasks)


@contextmanager
def started(work: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Runs a function in a forked process while the block runs; yields a function that waits for what it returns.

    Args:
        work: The function; its result is pickled.
    """
    with _executor(lambda _: pickle.dumps(work()), 1) as executor:
        future: Future[bytes] = executor.submit(_run, None)
        # As bytes: torch would hand its tensors over in shared memory, which ends with the process.
        yield lambda: pickle.loads(future.result())  # noqa: S301  this program's own


@contextmanager
def _executor(work: Callable[[Any], Any], processes: int) -> Iterator[ProcessPoolExecutor]:
    global _work  # noqa: PLW0603  forked processes find it there
    _work = work
    executor = ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), initializer=_begin)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)
        _work = None


def _begin() -> None:
    """Limits a forked process to one thread: of the pools that this process had, none is left."""
    torch.set_num_threads(1)
    threadpool_limits(1)


def _run(task: Any) -> Any:
    assert _work is not None
    return _work(task)
