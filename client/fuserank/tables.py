"""Renders results and server states as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from fuserank.types import FacetValue, Item, SearchResult, ServerStatus, Signal, Status, Suggestion

# More would make a row too long to read; `--json` has all signals.
MAX_SIGNALS = 3
MIN_SHARE = 0.01


def tabulate_result(result: SearchResult, title: str, explain: bool = True) -> Table:
    """Returns a table of a result: rank, id, product (text fields), number fields, score and signals.

    Args:
        result: What a search returned.
        title: Printed above the table.
        explain: Whether to add a column of signals, strongest first; the request must have asked for them.
    """
    table = Table(title=Text(title, style="bold"), title_justify="left", caption_justify="left", padding=(0, 1, 0, 0))
    table.caption = Text(format_status(result.status))
    table.add_column("#", justify="right", style="dim")
    table.add_column("id", style="cyan", overflow="fold")
    names = list(dict.fromkeys(name for item in result for name in item.fields))
    number_fields = [name for name in names if all(_is_number(item.fields.get(name, 0)) for item in result)]
    text_fields = [name for name in names if name not in number_fields]
    if text_fields:
        table.add_column("product", overflow="fold", ratio=2)
    for name in number_fields:
        table.add_column(Text(name), justify="right")
    table.add_column("score", justify="right", style="bold")
    has_chances = any(item.probability is not None for item in result)
    if has_chances:
        table.add_column("probability", justify="right")
    if explain:
        table.add_column("why", overflow="fold", ratio=3)
    for rank, item in enumerate(result, start=1):
        # Text and not str: a title may hold square brackets, which rich would read as markup.
        cells = [Text(item.id), *([_format_product(item, text_fields)] if text_fields else [])]
        cells += [Text(format_value(item.fields.get(name))) for name in number_fields]
        reasons = [Text("\n".join(_format_signals(item.signals)))] if explain else []
        chance = ["" if item.probability is None else f"{item.probability:.1%}"] if has_chances else []
        table.add_row(str(rank), *cells, f"{item.score:.3f}", *chance, *reasons)
    return table


def tabulate_facets(status: Status) -> Table:
    """Returns a table of the values of each field that was counted, categories indented by their level."""
    table = Table(padding=(0, 1, 0, 0))
    for name in ("facet", "value"):
        table.add_column(name, overflow="fold")
    table.add_column("count", justify="right")
    for name, values in status.facets.items():
        for label, count in _list_values(values):
            table.add_row(Text(name), Text(label), f"{count:,}")
    return table


def tabulate_suggestions(completions: Iterable[Suggestion]) -> Table:
    """Returns a table of completions, best first, each with its popularity."""
    table = Table(padding=(0, 1, 0, 0))
    table.add_column("completion", overflow="fold")
    table.add_column("popularity", justify="right")
    for completion in completions:
        table.add_row(Text(completion.text), f"{completion.score:,.0f}")
    return table


def tabulate_server(status: ServerStatus) -> Table:
    """Returns a table of a server's state: a row for each property, then one for each model."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("live", format_value(status.live))
    table.add_row("ready", format_value(status.ready))
    table.add_row("Triton", Text(status.version or "unknown"))
    table.add_row(status.model, "ready" if status.model_ready else "not ready")
    table.add_row("bundle", Text(status.bundle or "unknown"))
    for model in status.models:
        parts = (model.name, model.version, model.state or "not loaded", model.reason)
        table.add_row("model", Text(" ".join(part for part in parts if part)))
    return table


def format_status(status: Status) -> str:
    """Returns one line: bundle, milliseconds, candidates by channel, rules, exploration, degraded steps."""
    parts = [f"bundle {status.bundle}"] if status.bundle else []
    if "total" in status.microseconds:
        parts.append(f"{status.microseconds['total'] / 1_000:.1f} ms")
    if status.candidates:
        parts.append("candidates: " + ", ".join(f"{name} {n}" for name, n in status.candidates.items()))
    for number, outcome in enumerate(status.rules):
        counts = asdict(outcome)
        nonzero = [f"{name} {n}" for name, n in counts.items() if name != "kind" and (n or name == "matched")]
        parts.append(f"rule {number} ({outcome.kind}): {', '.join(nonzero)}")
    if status.exposure:
        parts.append(f"exposure moved {status.exposure.moved}, cost {status.exposure.cost:.3f} of the mean score")
    if status.sponsored:
        parts.append(f"sponsored {status.sponsored.placed}, cost {status.sponsored.cost:.3f} of the mean score")
    if status.explore:
        parts.append(f"explored {status.explore.explored} of {status.explore.pool}, seed {status.explore.seed}")
    if status.understood:
        parts.append("understood: " + ", ".join(f"{name} {_spell(value)}" for name, value in status.understood.items()))
    if status.total:
        parts.append(f"{'at least ' if status.total.relation == 'gte' else ''}{status.total.value:,} match")
    if status.relaxed:
        parts.append("no item has all words")
    parts += [f"{count:,} without the condition on {name}" for name, count in status.without.items()]
    if status.did_you_mean:
        parts.append(f"did you mean {status.did_you_mean!r}?")
    if status.degraded:
        parts.append("degraded: " + ", ".join(status.degraded))
    return " · ".join(parts)


def format_value(value: Any) -> str:
    """Returns a field's value as text: yes or no, two decimals of a float, list entries with commas."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.2f}"
        case list():
            return ", ".join(format_value(entry) for entry in value)
        case _:
            return str(value)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _format_product(item: Item, names: list[str]) -> Text:
    """Returns the first field, and the others dimmed on a second line; of a category path its last level."""
    first, *others = (format_value(item.fields.get(name)).rsplit(" > ", 1)[-1] for name in names)
    parts = item.highlights.get(names[0])
    text = (
        Text(first) if not parts else Text.assemble(*((part, "bold" if i % 2 else "") for i, part in enumerate(parts)))
    )
    second_line = " · ".join(other for other in (item.sponsored, *others, *_count_variants(item)) if other)
    return text.append(f"\n{second_line}", style="dim") if second_line else text


def _count_variants(item: Item) -> list[str]:
    return [f"{item.variant_count} more of it"] if item.variant_count else []


def _format_signals(signals: Sequence[Signal]) -> list[str]:
    """Returns why the item was placed, if it was, and its largest positive signals, strongest first.

    `base`, the score of an item without signals, has no share and is left out.
    """
    placements = [signal.reason for signal in signals if signal.name == "placement"]
    positive = [signal for signal in signals if signal.contribution > 0 and signal.share >= MIN_SHARE]
    positive.sort(key=lambda signal: signal.contribution, reverse=True)
    return placements + [f"{signal.name} {signal.share:.0%}: {signal.reason}" for signal in positive[:MAX_SIGNALS]]


def _list_values(values: Sequence[FacetValue], level: int = 0) -> Iterator[tuple[str, int]]:
    """Yields each value in words, with its count."""
    for value in values:
        if value.value is None:
            low, high = ("" if bound is None else f"{bound:g}" for bound in (value.low, value.high))
            yield f"{low} to {high}".strip() if high else f"from {low}", value.count
        else:
            yield "  " * level + format_value(value.value).rsplit(" > ", 1)[-1], value.count
        yield from _list_values(value.children, level + 1)


def _spell(value: object) -> str:
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)
