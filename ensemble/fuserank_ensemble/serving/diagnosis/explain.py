"""The command `fuserank explain`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.serving.diagnosis.explanation import Explanation
from fuserank_ensemble.serving.state import StateKeyOption
from fuserank_ensemble.state.keys import read_key
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import StateSettings


def explain(
    query: Annotated[str, typer.Argument(help="What is searched for; empty for a recommendation.")] = "",
    *,
    item: Annotated[str, typer.Option(help="The item that is asked about.")],
    bundle: Annotated[Path, typer.Option(help="The bundle's folder.")],
    user: Annotated[str, typer.Option("--user", "-u", help="Who asks.")] = "",
    options: Annotated[
        str, typer.Option(help='Options of `search`, such as {"k": 20, "filter": {"in_stock": true}}.')
    ] = "{}",
    state: Annotated[
        str | None, typer.Option(help="The server's log of events, such as sqlite:build/demo.state/log.sqlite.")
    ] = None,
    state_key_file: StateKeyOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say why an item stands where it stands in an answer, or where it was lost: channel, filter, cut or ranker.

    Example: fuserank explain "half gallon milk" --user 900 --item 1082185 --bundle build/demo
    """
    # The graph opens engines: `--help` and mistakes are answered without them.
    from fuserank_ensemble.graph.local import LocalGraph  # noqa: PLC0415
    from fuserank_ensemble.serving.diagnosis.explanation import explain_item  # noqa: PLC0415

    try:
        wanted = json.loads(options)
        if not isinstance(wanted, dict):
            raise ValueError('allowed: a JSON object, such as {"k": 20}')
    except ValueError as error:
        typer.echo(f"fuserank explain: --options: found {options!r}: {error}", err=True)
        raise typer.Exit(2) from None
    try:
        settings = StateSettings(state, state_key_file) if state else None
        key = read_key(state_key_file) if state_key_file else None
        graph = LocalGraph(Bundle.open(bundle, verify=()), state=settings, key=key)
        explanation = explain_item(graph, item, query, user, wanted)
    except (BundleError, StateError) as error:
        typer.echo(f"fuserank explain: {error}", err=True)
        raise typer.Exit(1) from None
    except InvalidRequestError as error:
        typer.echo(f"fuserank explain: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(explanation)).decode())
        return
    print_explanation(explanation, Console())


def print_explanation(explanation: Explanation, console: Console) -> None:
    """Prints an explanation for a terminal."""
    title = explanation.fields.get("title", "")
    console.print(Text(f"{explanation.item}  {title}", style="bold"))
    console.print(Text(f"{explanation.outcome}: {explanation.sentence}"))
    if explanation.channels:
        console.print(_channels(explanation))
    if explanation.signals:
        console.print(_signals(explanation))
    understood = explanation.status.get("understood")
    if understood:
        console.print(Text(f"the query was understood as {json.dumps(understood, ensure_ascii=False)}"))
    console.print(Text(f"bundle {explanation.bundle}, asked in this process, not over a server", style="dim"))


def _channels(explanation: Explanation) -> Table:
    table = Table("channel", "weight", "rank", "in a longer list", "", title="Channels", title_justify="left")
    for one in explanation.channels:
        cells = (f"{one.weight:.2f}", _number(one.rank), _number(one.deeper), one.note)
        table.add_row(one.channel, *map(Text, cells))
    fused = f"place {explanation.fused:,}" if explanation.fused else "not there"
    table.caption = f"fused: {fused} of {explanation.found:,}; {explanation.candidates} were ranked"
    table.caption_justify = "left"
    return table


def _signals(explanation: Explanation) -> Table:
    """The contributions, beside those of the last item that is shown, where this one is not."""
    beside: Mapping[str, Any] = explanation.beside
    others = {signal["name"]: signal["contribution"] for signal in beside.get("signals", ())}
    names = ["signal", "adds", *([f"place {beside['place']}: {beside['item']}"] if beside else []), "because"]
    columns = (Column(Text(name)) for name in names)
    table = Table(*columns, title="What made its score", title_justify="left", caption_justify="left")
    for signal in explanation.signals:
        cells = [f"{signal['contribution']:+.3f}"]
        cells += [f"{others[signal['name']]:+.3f}" if signal["name"] in others else ""] if beside else []
        table.add_row(*map(Text, (signal["name"], *cells, signal["reason"])))
    other = f"; place {beside['place']} has {beside['score']:.3f}" if beside else ""
    table.caption = f"in all {explanation.score:.3f}{other}"
    return table


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
