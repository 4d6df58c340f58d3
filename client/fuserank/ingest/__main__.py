"""`python -m fuserank.ingest`, the same as `fuserank ingest`."""

from __future__ import annotations

import typer

from fuserank.ingest.command import ingest

if __name__ == "__main__":
    typer.run(ingest)
