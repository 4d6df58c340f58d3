"""Facets as the page shows them: each choice with its count and the address that it leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fuserank.storefront.render.words import Words
from fuserank.storefront.view import Range, View
from fuserank.types import FacetValue

FIRST_CHOICES = 8
DEPTH = 3


@dataclass(frozen=True)
class Choice:
    """One value of a facet.

    Attributes:
        name: As it is shown.
        count: How many items have it.
        url: Where choosing it leads; where it is chosen, letting it go.
        chosen: Whether it narrows the list.
        level: In a tree, from 0.
    """

    name: str
    count: int
    url: str
    chosen: bool
    level: int = 0


@dataclass(frozen=True)
class Facet:
    """A field to narrow by.

    Attributes:
        field: Its name in the catalogue.
        name: Its name on the page.
        choices: Its values, the first ones.
        further: Its other values, which are folded away.
        range: The chosen range of a number; None for other fields.
        clear: Where taking all of its conditions away leads; empty where there are none.
    """

    field: str
    name: str
    choices: tuple[Choice, ...]
    further: tuple[Choice, ...]
    range: Range | None
    clear: str


def make_facets(counts: Mapping[str, Sequence[FacetValue]], view: View, words: Words) -> list[Facet]:
    """Returns the facets of a reply that have a choice to offer, in its order."""
    facets = []
    for name, values in counts.items():
        numeric = any(value.value is None for value in values)
        if numeric:
            choices = [_range_choice(name, value, view, words) for value in values]
        else:
            choices = _value_choices(name, values, view, words)
        if not choices:
            continue
        first = choices if numeric else [c for n, c in enumerate(choices) if n < FIRST_CHOICES or c.chosen]
        narrowed = name in view.values or name in view.ranges
        facets.append(
            Facet(
                name,
                words.name("field", name),
                tuple(first),
                tuple(choice for choice in choices if choice not in first),
                view.ranges.get(name, Range()) if numeric else None,
                view.without(name).url() if narrowed else "",
            )
        )
    return facets


def _value_choices(name: str, values: Sequence[FacetValue], view: View, words: Words, level: int = 0) -> list[Choice]:
    """Returns values, each followed by what lies below it where it, or something below it, is chosen."""
    chosen_values = view.values.get(name, ())
    tree = level > 0 or any(entry.children for entry in values)
    choices = []
    for entry in values:
        value = entry.value if isinstance(entry.value, bool) else str(entry.value)
        chosen = value in chosen_values
        if tree:  # one branch at a time: whoever chooses Dairy does not want all of Grocery beside it
            url = (view.without(name) if chosen else view.only(name, value)).url()
        else:
            url = view.toggle(name, value).url()
        yes_or_no = words("results.yes" if value else "results.no")
        shown = yes_or_no if isinstance(value, bool) else value.rsplit(" > ", 1)[-1]
        choices.append(Choice(shown, entry.count, url, chosen, level))
        # A single department says nothing: its parts do.
        opened = chosen or len(values) == 1 or any(str(v).startswith(f"{value} > ") for v in chosen_values)
        if opened and level + 1 < DEPTH:
            choices += _value_choices(name, entry.children, view, words, level + 1)
    return choices


def _range_choice(name: str, value: FacetValue, view: View, words: Words) -> Choice:
    if value.low is None:
        shown = words("results.range_below", end=f"{value.high or 0:,.2f}")
    elif value.high is None:
        shown = words("results.range_above", start=f"{value.low:,.2f}")
    else:
        shown = words("results.range", start=f"{value.low:,.2f}", end=f"{value.high:,.2f}")
    chosen = Range(start=value.low, below=value.high)
    return Choice(shown, value.count, view.within(name, chosen).url(), view.ranges.get(name) == chosen)
