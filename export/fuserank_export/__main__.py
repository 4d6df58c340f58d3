"""`fuserank export`."""

from fuserank_export.cli import app

app(prog_name="fuserank export")
