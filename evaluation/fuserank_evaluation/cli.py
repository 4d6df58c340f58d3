"""Measure quality on shops with known answers: `fuserank evaluate …`.

Each command imports what it runs, so that `--help` does not wait for torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_evaluation.shop.command import EXAMPLE, shop
from fuserank_export.errors import exit_on_error
from fuserank_export.sources import InputError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Is it better on my data? `fuserank evaluate --catalog …` says so on one page. The commands below measure "
    "quality on shops with known answers; their figures go to build/reports.",
)
app.callback(invoke_without_command=True, epilog=EXAMPLE)(shop)

BundleOption = Annotated[Path, typer.Option("--bundle", help="The demo's bundle.")]
ShopOption = Annotated[Path, typer.Option("--shop", help="Folder of Complete Journey in the input formats.")]
FilmsOption = Annotated[
    Path, typer.Option("--films", help="Folder of the films' corpus and judgements; left out where there is none.")
]
ESCI = Path("../shared/data/esci-us")
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
BUNDLE, SHOP, FILMS = Path("build/demo"), Path("build/complete-journey"), Path("../shared/data/elastic-movies-ltr")


@contextmanager
def _inputs(bundle: Path | None, shop: Path | None = None) -> Iterator[None]:
    """Ends a command with one line and exit status 2 where what it measures is not there or cannot be read."""
    with exit_on_error():
        try:
            if bundle is not None:
                Bundle.open(bundle, verify=())
        except BundleError as error:
            raise BundleError(f"--bundle: {error}; `make demo` makes the demo's in {BUNDLE}") from None
        if shop is not None and not (log := shop / "interactions.parquet").exists():
            raise InputError(
                f"--shop: {log}: not there; give the folder that `fuserank export complete-journey --out …` has written"
            )
        yield


@app.command()
def retrieval(bundle: BundleOption = BUNDLE, shop: ShopOption = SHOP, films: FilmsOption = FILMS) -> None:
    """Recall and nDCG of retrieval on groceries, films and a Chinese shop: report `retrieval`."""
    with _inputs(bundle, shop):
        from fuserank_evaluation.retrieval.run import evaluate_retrieval

        _print_report(evaluate_retrieval(bundle, shop, films, Console()))


@app.command()
def ranking(
    bundle: BundleOption = BUNDLE,
    shop: ShopOption = SHOP,
    cases: Annotated[int, typer.Option(help="(household, query) pairs of each window that is learned from.")] = 6_000,
    epochs: Annotated[int | None, typer.Option(help="The ranker's passes over them at most; by default 3.")] = None,
    baselines_only: Annotated[bool, typer.Option(help="Leave out what learns from features.")] = False,
) -> None:
    """The ranker against every baseline on groceries: report `relevance`, page relevance-ranking.md."""
    with _inputs(bundle, shop):
        from fuserank_evaluation.ranking.run import evaluate_ranking

        _print_report(evaluate_ranking(bundle, shop, cases, epochs, baselines_only, Console()))


@app.command()
def windows(
    bundle: BundleOption = BUNDLE,
    shop: ShopOption = SHOP,
    windows: Annotated[int, typer.Option(min=2, help="How many windows, from the log's last 28 days backwards.")] = 3,
    cases: Annotated[
        int, typer.Option(min=0, help="(household, query) pairs of each window learned from; 0: baselines alone.")
    ] = 1_500,
) -> None:
    """The same over several windows of time: report `relevance`, page relevance-windows.md."""
    with _inputs(bundle, shop):
        from fuserank_evaluation.ranking.windows import evaluate_windows

        _print_report(evaluate_windows(bundle, shop, windows, cases, Console()))


@app.command()
def films(bundle: BundleOption = BUNDLE, films: FilmsOption = FILMS) -> None:
    """Text tower, features and ranker on people's judgements of films: report `relevance`, page relevance-movies.md."""
    with _inputs(bundle):
        from fuserank_evaluation.ranking.films.run import evaluate_films_ranking

        path = evaluate_films_ranking(bundle, films, Console())
    if path:
        _print_report(path)


@app.command()
def shoppers(
    bundle: BundleOption = BUNDLE,
    esci: Annotated[Path, typer.Option(help="Folder of Amazon's queries; left out where there is none.")] = ESCI,
    films: FilmsOption = FILMS,
    encoder: Annotated[str, typer.Option(help="Hugging Face id or folder of the encoder of both shops.")] = ENCODER,
) -> None:
    """Queries in people's own words, on groceries, Amazon's shop and films with made users: report `shopper`."""
    with _inputs(bundle):
        from fuserank_evaluation.shoppers.run import evaluate_shoppers

        _print_report(evaluate_shoppers(bundle, esci, films, encoder, Console()))


@app.command()
def events(
    films: FilmsOption = FILMS,
    encoder: Annotated[str, typer.Option(help="Hugging Face id or folder of the shop's encoder.")] = ENCODER,
) -> None:
    """Print how much of what people rate low, return or only look at is recommended, on films with planted logs."""
    from fuserank_evaluation.shoppers.events import evaluate_events

    evaluate_events(films, encoder, Console())


@app.command()
def replay(
    shop: ShopOption = SHOP,
    encoder: Annotated[str, typer.Option(help="Hugging Face id or folder of the shop's encoder.")] = ENCODER,
    searches: Annotated[int, typer.Option(min=2, help="Searches that are asked.")] = 2_000,
    recommendations: Annotated[int, typer.Option(min=2, help="Recommendations that are asked.")] = 1_000,
) -> None:
    """The log's last 28 days as live events, with requests between them, against a bundle alone: report `live`."""
    with _inputs(None, shop):
        from fuserank_evaluation.replay.run import evaluate_replay

        _print_report(evaluate_replay(shop, encoder, searches, recommendations, Console()))


@app.command()
def offpolicy(
    bundle: Annotated[Path, typer.Option(help="The bundle that may be served instead.")],
    state: Annotated[str, typer.Option(help="The server's log: sqlite:/path or redis://host:port/0.")],
    state_key_file: Annotated[Path | None, typer.Option(help="Its key, as `fuserank serve` has it.")] = None,
    options: Annotated[
        str, typer.Option(help='Options of search for all requests, such as {"objective": {"purchase": 1}}.')
    ] = "{}",
    reward: Annotated[str, typer.Option(help="What a list earns: click or purchase.")] = "click",
    places: Annotated[int, typer.Option(min=1, help="Only the first places of each list count.")] = 10,
    lists: Annotated[int, typer.Option(min=1, help="How many lists are asked again at most.")] = 5_000,
    window_hours: Annotated[float, typer.Option(help="How long after it was shown an item earns.")] = 24.0,
    least_sample: Annotated[float, typer.Option(help="The effective sample size that every place needs.")] = 100.0,
    least_support: Annotated[float, typer.Option(help="Share of the target's items that the log may show.")] = 0.9,
) -> None:
    """What another bundle or objective would have earned, from logged propensities: report `offpolicy`.

    Exits 1 where the log cannot tell.
    """
    from fuserank_ensemble.state.log import StateError
    from fuserank_ensemble.state.settings import StateSettings
    from fuserank_evaluation.offpolicy.run import OffPolicySettings, evaluate_offpolicy

    try:
        settings = OffPolicySettings(reward, places, lists, window_hours, least_sample, least_support)
        place = StateSettings(state, state_key_file)
        path, outcome = evaluate_offpolicy(bundle, place, options, settings, Console(stderr=True))
    except (ValueError, StateError) as error:
        typer.echo(f"fuserank evaluate offpolicy: {error}", err=True)
        raise typer.Exit(1) from None
    for name in ("logged", "snips", "doubly_robust", "gain"):
        estimate = getattr(outcome, name)
        if estimate is not None:
            typer.echo(f"{name:14} {estimate.value:9.4f}  ({estimate.low:.4f} to {estimate.high:.4f}) {reward}s a list")
    _print_report(path)
    if outcome.refusal:
        typer.echo(f"fuserank evaluate offpolicy: no estimate: {outcome.refusal}", err=True)
        raise typer.Exit(1)


@app.command()
def exploration(
    shops: Annotated[int, typer.Option(min=2, help="How many shops are simulated.")] = 30,
    visitors: Annotated[int, typer.Option(min=100, help="How many people come to each.")] = 4_000,
) -> None:
    """Regret of Thompson sampling, epsilon-greedy and greedy in a simulated shop: report `exploration`."""
    from fuserank_evaluation.exploration.run import evaluate_exploration

    _print_report(evaluate_exploration(shops, visitors))


@app.command()
def quote() -> None:
    """Copy the last reports to docs/reports, and their figures into the READMEs and docs/results.md."""
    from fuserank_evaluation.reports.quote import quote_reports

    quote_reports()


def _print_report(path: Path) -> None:
    Console().print(f"report: {path}", highlight=False)
