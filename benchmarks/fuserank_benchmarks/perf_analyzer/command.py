"""The command `fuserank bench`: perf_analyzer on a running server."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fuserank_benchmarks.perf_analyzer.program import PerfAnalyzerError, find_perf_analyzer
from fuserank_benchmarks.perf_analyzer.sweep import Point, Sweep, measure, write_inputs

CACHE = Path.home() / ".cache" / "fuserank" / "perf_analyzer"
DEFAULT_QUERIES = [("half gallon milk", ""), ("", "900"), ("bread", "900"), ("coffee", "1")]


def bench(
    url: Annotated[str, typer.Option(envvar="FUSERANK_URL", help="Triton's gRPC address.")] = "127.0.0.1:8001",
    concurrency: Annotated[
        str, typer.Option(metavar="FROM:TO", help="Callers, doubled from one to the other.")
    ] = "1:32",
    rate: Annotated[str, typer.Option(metavar="N,N,…", help="Requests a second instead, Poisson arrivals.")] = "",
    questions: Annotated[
        Path | None, typer.Option(help="A text file: a line each of query, tab, user; either may be empty.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Of a window; each point takes three.")] = 2.0,
    shared_memory: Annotated[
        bool,
        typer.Option("--shared-memory", help="Tensors by shared memory, of `fuserank serve --shared-memory`."),
    ] = False,
    streaming: Annotated[bool, typer.Option("--streaming", help="One gRPC stream for all.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines, and nothing else.")] = False,
) -> None:
    """Measure a running server with NVIDIA's perf_analyzer, which is fetched where it is missing."""
    try:
        loads = [float(value) for value in rate.split(",")] if rate else parse_concurrency(concurrency)
        rows = read_questions(questions) if questions else DEFAULT_QUERIES
    except (ValueError, OSError) as error:
        typer.echo(f"fuserank bench: {error}", err=True)
        raise typer.Exit(2) from None
    sweep = Sweep(
        loads, "request_rate" if rate else "concurrency", seconds, shared_memory=shared_memory, streaming=streaming
    )
    try:
        with tempfile.TemporaryDirectory(prefix="fuserank-load-") as folder:
            inputs = write_inputs(Path(folder) / "requests.json", [(query, user, "{}") for query, user in rows])
            points = measure(find_perf_analyzer(CACHE), url, inputs, sweep)
    except PerfAnalyzerError as error:
        closed = shared_memory and "restricted" in str(error)
        remedy = "; start the server with `fuserank serve --shared-memory`" if closed else ""
        typer.echo(f"fuserank bench: {error}{remedy}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps([asdict(point) for point in points]))
    else:
        Console().print(tabulate_points(points, "requests/s sent" if rate else "callers"))


def parse_concurrency(text: str) -> list[float]:
    """Returns the concurrencies of a range: of `1:32` 1, 2, 4, 8, 16 and 32, of `5` that one.

    Raises:
        ValueError: Where the text has another form.
    """
    first, _, last = text.partition(":")
    if not first.isdigit() or not (last or first).isdigit() or not 0 < int(first) <= int(last or first):
        raise ValueError(f"--concurrency: found {text!r}; allowed: N or FROM:TO, such as 1:32")
    load, loads = int(first), []
    while load < int(last or first):
        loads.append(float(load))
        load *= 2
    return [*loads, float(last or first)]


def read_questions(path: Path) -> list[tuple[str, str]]:
    """Reads (query, user) pairs from a file of a pair a line, separated by a tab.

    Raises:
        ValueError: Where the file has no line.
        OSError: Where it cannot be read.
    """
    lines = [line.partition("\t") for line in path.read_text("utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"--questions: found no line in {path}; allowed: at least one of query, tab, user")
    return [(query.strip(), user.strip()) for query, _, user in lines]


def tabulate_points(points: list[Point], load: str) -> Table:
    """Returns a table with a row for each measurement.

    Args:
        points: The measurements.
        load: Header of the first column: what `Point.load` counts.
    """
    table = Table(padding=(0, 1, 0, 0))
    stages = list(dict.fromkeys(stage for point in points for stage in point.stages))
    columns = (load, "answers/s", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "queue ms", "compute ms")
    for column in (*columns, *(f"{stage} queue + compute ms" for stage in stages)):
        table.add_column(column, justify="right")
    for p in points:
        figures = (p.throughput, p.p50_ms, p.p90_ms, p.p95_ms, p.p99_ms, p.queue_ms, p.compute_ms)
        times = [p.stages.get(stage) for stage in stages]
        cells = [f"{time.queue_us / 1e3:.1f} + {time.compute_us / 1e3:.1f}" if time else "" for time in times]
        table.add_row(f"{p.load:g}", *(f"{value:,.1f}" for value in figures), *cells)
    return table
