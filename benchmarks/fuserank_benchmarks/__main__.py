"""`python -m fuserank_benchmarks`."""

from fuserank_benchmarks.cli import app

app(prog_name="python -m fuserank_benchmarks")
