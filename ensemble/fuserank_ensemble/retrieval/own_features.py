"""Features that one shop has and another has not: declared in a bundle's spec, behind those that every shop has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fuserank_ensemble.retrieval.channel import Feature

OwnSignal = Literal["shop", "segment", "context"]
OWN_SIGNALS: tuple[OwnSignal, ...] = ("shop", "segment", "context")  # in the order of their columns
# number: the value; log: log(1 + value); flag: 1 or 0; value: 1 for items with that value, 0 for others; share: the
# share of the user's events with items of the item's value. lift: how much more a group has of the item than all have,
# as a logarithm; category_lift: of the item's category.
Form = Literal["number", "log", "flag", "value", "share", "lift", "category_lift"]
LIFTS = ("lift", "category_lift")


@dataclass(frozen=True)
class OwnFeature(Feature):
    """One column of the ranker's input that only some shops have.

    Attributes:
        source: The catalogue's column that it is made of; of a lift the kind of group, as `Contexts` names it.
        form: How it is made of it.
        value: The value that it stands for; of the form `value` alone.
    """

    source: str
    form: Form
    value: str = ""
