"""The panel that opens the graph: what a reply says of its making."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fuserank.storefront.render.words import Words
from fuserank.types import Status


@dataclass(frozen=True)
class Bar:
    """A name, its value and how long its bar is, from 0 to 100."""

    name: str
    value: float
    length: float


@dataclass(frozen=True)
class GraphPanel:
    """What the panel shows of a reply.

    Attributes:
        milliseconds: From the first stage's start to the last one's end.
        stages: Milliseconds of each stage.
        channels: Candidates of each channel.
        fused: Candidates that the ranker got.
        understood: What the query says beside its words, by what it is.
        degraded: What was cut short.
        bundle: Its id.
        position: Up to where the log counts.
        arm: The arm of the server's experiment, empty where there is none.
        known: Whether the log knows the shopper.
        ranked: Whether the reply is a ranking: it knows the shopper and is ordered by the sliders.
    """

    milliseconds: float
    stages: list[Bar]
    channels: list[Bar]
    fused: int
    understood: list[tuple[str, str]]
    degraded: tuple[str, ...]
    bundle: str
    position: int | None
    arm: str
    known: bool
    ranked: bool


def make_panel(status: Status, words: Words, *, ranked: bool = True) -> GraphPanel:
    """Returns the panel of a reply; one of `similar` is no ranking."""
    stages = {name: time / 1_000 for name, time in status.microseconds.items() if name != "total"}
    channels = {name: count for name, count in status.candidates.items() if name != "fused"}
    return GraphPanel(
        milliseconds=status.microseconds.get("total", 0.0) / 1_000,
        stages=_make_bars(stages, "stage", words),
        channels=_make_bars(channels, "channel", words),
        fused=status.candidates.get("fused", 0),
        understood=[
            (words.name("understood", name), _spell(value, words)) for name, value in status.understood.items()
        ],
        degraded=status.degraded,
        bundle=status.bundle,
        position=status.position,
        arm=status.arm,
        known=status.user_known,
        ranked=ranked,
    )


def _make_bars(values: Mapping[str, float], table: str, words: Words) -> list[Bar]:
    longest = max(values.values(), default=0) or 1
    return [Bar(words.name(table, name), value, round(100 * value / longest, 1)) for name, value in values.items()]


def _spell(value: Any, words: Words) -> str:
    match value:
        case bool():
            return words("results.yes" if value else "results.no")
        case Mapping():
            return ", ".join(f"{before} → {after}" for before, after in value.items())
        case list() | tuple():
            return ", ".join(_spell(entry, words) for entry in value)
        case _:
            return str(value)
