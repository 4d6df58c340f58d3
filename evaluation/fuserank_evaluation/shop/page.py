"""The page: one HTML file that needs no network. What the shop's data brings is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fuserank_evaluation.metrics.significance import half_width
from fuserank_evaluation.ranking.results import MAIN
from fuserank_evaluation.shop.advice import Facts
from fuserank_evaluation.shop.methods import METHODS, PRODUCT, TAKEN
from fuserank_evaluation.shop.plots import by_window, plot_methods, plot_windows, window_name
from fuserank_evaluation.shop.requests import SETS, SHOWN_MEASURES, RequestSet
from fuserank_evaluation.shop.worst import WorstRequest

MEASURE_NAMES = {"ndcg_at_10": "nDCG@10", "hit_at_10": "hit@10", "recall_at_100": "recall@100", "mrr": "MRR"}


@dataclass(frozen=True)
class Page:
    """What the page says.

    Attributes:
        path: Where it goes.
        bundle: Id of the latest window's bundle.
        folder: Where the bundles of the windows lie.
        windows: Start and end of each window, epoch seconds, the latest first.
        sets: The requests and answers by set.
        facts: What the advice was made from.
        verdicts: A sentence on each set.
        advice: What to do next.
        worst: The worst searches by set.
        users: Users of the log.
    """

    path: Path
    bundle: str
    folder: str
    windows: Sequence[tuple[float, float]]
    sets: Mapping[str, RequestSet]
    facts: Facts
    verdicts: Sequence[str]
    advice: Sequence[str]
    worst: Mapping[str, Sequence[WorstRequest]]
    users: int

    @property
    def tables(self) -> dict[str, list[list[str]]]:
        """Every method's measures by set, best first; the first row is the head."""
        tables = {}
        for name, requests in self.sets.items():
            rows = [["method", *(MEASURE_NAMES[measure] for measure in SHOWN_MEASURES)]]
            for method in sorted(requests.values, key=requests.mean, reverse=True):
                cells = [f"{requests.mean(method, measure):.3f}" for measure in SHOWN_MEASURES]
                cells[0] += f" ± {half_width(requests.values[method][MAIN]):.3f}"
                rows.append([METHODS[method].label, *cells])
            tables[name] = rows
        return tables

    @property
    def window_tables(self) -> dict[str, list[list[str]]]:
        """nDCG@10 of every method by window, of the sets that were asked in more than one."""
        tables = {}
        for name, requests in self.sets.items():
            windows, means = by_window(requests)
            if len(windows) > 1:
                head = ["method", *map(window_name, windows)]
                rows = [[METHODS[method].label, *(f"{mean:.3f}" for mean in of)] for method, of in means.items()]
                tables[name] = [head, *rows]
        return tables


def write_page(page: Page) -> None:
    """Writes the page."""
    loader = PackageLoader("fuserank_evaluation.shop", package_path="")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["day"] = lambda moment: datetime.fromtimestamp(moment, UTC).date().isoformat()
    environment.filters["share"] = lambda value: f"{value:.1%}"
    environment.filters["capital"] = lambda text: text[:1].upper() + text[1:]
    by_time = {name: requests for name, requests in page.sets.items() if name in page.window_tables}
    # The plots hold names of methods alone, nothing of the shop's.
    plots = {
        "methods": {name: Markup(plot_methods(requests)) for name, requests in page.sets.items()},  # noqa: S704
        "windows": {name: Markup(plot_windows(requests)) for name, requests in by_time.items()},  # noqa: S704
    }
    shown = {name: METHODS[name] for name in METHODS if any(name in requests.values for requests in page.sets.values())}
    html = environment.get_template("page.html").render(
        page=page, facts=page.facts, sets=SETS, methods=METHODS, shown=shown, plots=plots, product=PRODUCT, taken=TAKEN
    )
    page.path.write_text(html, "utf-8")
