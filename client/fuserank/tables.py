"""Results and server states as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from fuserank.types import Item, SearchResult, ServerStatus, Signal, Status, Suggestion

# Beyond these a table row is longer than anyone reads; `--json` has them all.
SIGNALS_SHOWN = 3
LEAST_SHARE = 0.01


def result_table(result: SearchResult, title: str, explain: bool = True) -> Table:
    """Lays out a result: rank, id, product (its words), its numbers, score, and the signals that put it there.

    Args:
        result: What a search returned.
        title: Stands above the table.
        explain: Adds the column of signals, strongest first; needs a result that was asked to explain.
    """
    table = Table(title=Text(title, style="bold"), title_justify="left", caption_justify="left", padding=(0, 1, 0, 0))
    table.caption = Text(status_line(result.status))
    table.add_column("#", justify="right", style="dim")
    table.add_column("id", style="cyan", overflow="fold")
    names = list(dict.fromkeys(name for item in result for name in item.fields))
    numbers = [name for name in names if all(_is_number(item.fields.get(name, 0)) for item in result)]
    words = [name for name in names if name not in numbers]
    if words:
        table.add_column("product", overflow="fold", ratio=2)
    for name in numbers:
        table.add_column(Text(name), justify="right")
    table.add_column("score", justify="right", style="bold")
    if explain:
        table.add_column("why", overflow="fold", ratio=3)
    for rank, item in enumerate(result, start=1):
        # Text and not str: a title may hold square brackets, which rich would read as markup.
        cells = [Text(item.id), *([_product(item, words)] if words else [])]
        cells += [Text(shown(item.fields.get(name))) for name in numbers]
        why = [Text("\n".join(_strongest(item.signals)))] if explain else []
        table.add_row(str(rank), *cells, f"{item.score:.3f}", *why)
    return table


def suggestion_table(completions: Iterable[Suggestion]) -> Table:
    """Lays out completions, best first, each with its popularity."""
    table = Table(padding=(0, 1, 0, 0))
    table.add_column("completion", overflow="fold")
    table.add_column("popularity", justify="right")
    for each in completions:
        table.add_row(Text(each.text), f"{each.score:,.0f}")
    return table


def server_table(status: ServerStatus) -> Table:
    """Lays out what a server says about itself: one row a property, then one row a model."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("live", shown(status.live))
    table.add_row("ready", shown(status.ready))
    table.add_row("Triton", Text(status.version or "unknown"))
    table.add_row(status.model, "ready" if status.model_ready else "not ready")
    table.add_row("bundle", Text(status.bundle or "unknown"))
    for model in status.models:
        parts = (model.name, model.version, model.state or "not loaded", model.reason)
        table.add_row("model", Text(" ".join(part for part in parts if part)))
    return table


def status_line(status: Status) -> str:
    """Says in one line which bundle answered, how fast, from which candidates, and what was cut short."""
    parts = [f"bundle {status.bundle}"] if status.bundle else []
    if "total" in status.microseconds:
        parts.append(f"{status.microseconds['total'] / 1_000:.1f} ms")
    if status.candidates:
        parts.append("candidates: " + ", ".join(f"{name} {n}" for name, n in status.candidates.items()))
    for number, outcome in enumerate(status.rules):
        counts = asdict(outcome)
        told = ", ".join(f"{name} {n}" for name, n in counts.items() if name != "kind" and (n or name == "matched"))
        parts.append(f"rule {number} ({outcome.kind}): {told}")
    if status.explore:
        parts.append(f"explored {status.explore.explored} of {status.explore.pool}, seed {status.explore.seed}")
    if status.degraded:
        parts.append("degraded: " + ", ".join(status.degraded))
    return " · ".join(parts)


def shown(value: Any) -> str:
    """Renders a field's value for people."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.2f}"
        case list():
            return ", ".join(shown(each) for each in value)
        case _:
            return str(value)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _product(item: Item, names: list[str]) -> Text:
    """The first field in full, the others below it in small: of a category path its last level."""
    first, *others = (shown(item.fields.get(name)).rsplit(" > ", 1)[-1] for name in names)
    text = Text(first)
    below = " · ".join(other for other in others if other)
    return text.append(f"\n{below}", style="dim") if below else text


def _strongest(signals: Iterable[Signal]) -> list[str]:
    """Who placed the item, if not its score; then what lifted it, strongest first.

    `base`, where every item starts, has no share.
    """
    told = list(signals)
    placed = [signal.reason for signal in told if signal.name == "placement"]
    lifting = [signal for signal in told if signal.contribution > 0 and signal.share >= LEAST_SHARE]
    lifting.sort(key=lambda signal: signal.contribution, reverse=True)
    return placed + [f"{signal.name} {signal.share:.0%}: {signal.reason}" for signal in lifting[:SIGNALS_SHOWN]]
