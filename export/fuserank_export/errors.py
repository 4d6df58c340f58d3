"""Errors whose message says what to do, and how a command ends with one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from fuserank_ensemble.bundle import BundleError
from fuserank_ensemble.catalog.text import TemplateError
from fuserank_ensemble.spec import SpecError


class ExportError(Exception):
    """The export cannot be done as asked. The message names the cause and what is allowed; a traceback adds nothing."""


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Ends a command with one line and exit status 2 where its message explains the error; others pass through."""
    try:
        yield
    except (ExportError, BundleError, SpecError, TemplateError) as error:
        Console(stderr=True).print(f"error: {error}", style="bold red", markup=False, highlight=False)
        sys.exit(2)
