"""Business rules: what a shop lifts, lowers and pins, whatever the ranker says.

Boost and bury change the score, by standard deviations of this request's candidate scores: what one means does not
depend on the query, nor on how the ranker's logits are spread. A pin leaves the score and takes a place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog import filters
from fuserank_ensemble.catalog.filters import Kind, Mask
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.contract.controls import ALLOWED, MAX_SHIFT, Rule
from fuserank_ensemble.contract.errors import Description, InvalidRequestError, format_value

LEAST_SPREAD = 1e-6  # scores closer than this are equal: the ranker's arithmetic is no finer
NOT_FOUND = -1  # in place of a candidate's position: the item is none
Allowed = Callable[[NDArray[np.int32]], Mask]  # item rows -> whether the request lets each be shown


class RuleOutcome(msgspec.Struct, omit_defaults=True):
    """What one rule did, as `STATUS` tells it; counts of 0 are left out, but for `matched`.

    Attributes:
        kind: `boost`, `bury` or `pin`.
        matched: Candidates that the rule holds for; of a pin of ids: the items that it may show.
        limited: Matched items that all rules together would have moved further than the limit.
        placed: Items that stand where a pin put them.
        moved: Of these, those at another place than asked: an earlier pin had it, or the list is shorter.
        unplaced: Items of a pin of ids without a place: an earlier pin has the item, or no place up to k is left.
        filtered_out: Items of a pin of ids that the request's `filter` or `exclude_seen` leaves out, or the user hid.
        unknown: Ids that the catalogue does not have.
        below_floor: Items of a pin that are not better than the share of candidates that it asks for.
    """

    kind: str
    matched: int
    limited: int = 0
    placed: int = 0
    moved: int = 0
    unplaced: int = 0
    filtered_out: int = 0
    unknown: int = 0
    below_floor: int = 0


@dataclass(frozen=True)
class Pin:
    """An item that a rule puts at a place.

    Attributes:
        row: The item's row.
        position: Among the candidates, or `NOT_FOUND`.
        rule: Which rule of the request.
        asked: The place from 0 that the rule names for it.
    """

    row: int
    position: int
    rule: int
    asked: int


def check(rules: Sequence[Rule], k: int, kinds: Mapping[str, Kind]) -> None:
    """Checks what types alone do not.

    Args:
        rules: As parsed.
        k: How many items the request wants.
        kinds: The catalogue's filterable fields.

    Raises:
        InvalidRequestError: Naming the rule and the part of it that cannot be followed.
    """
    for i, rule in enumerate(rules):
        path = f"OPTIONS.rules[{i}]"
        for names in (("boost", "bury", "pin"), ("filter", "item_ids")):
            given = [name for name in names if getattr(rule, name) is not None]
            if len(given) != 1:
                found = Description(" and ".join(given) or "none of them")
                raise InvalidRequestError(path, found, f"exactly one of {', '.join(names)}")
        for name in ("boost", "bury"):
            steps = getattr(rule, name)
            if steps is not None and not math.isfinite(steps):
                raise InvalidRequestError(f"{path}.{name}", steps, ALLOWED[f"rules.{name}"])
        for name in ("label", "floor"):
            if getattr(rule, name) is not None and rule.pin is None:
                raise InvalidRequestError(f"{path}.{name}", Description(f"one of a {rule.kind}"), "it with a pin alone")
        if rule.floor is not None and not math.isfinite(rule.floor):
            raise InvalidRequestError(f"{path}.floor", rule.floor, ALLOWED["rules.floor"])
        if rule.pin is not None and rule.pin > k:
            raise InvalidRequestError(f"{path}.pin", rule.pin, f"a place from 1 to k ({format_value(k)})")
        if rule.filter is not None:
            filters.parse(rule.filter, kinds, f"{path}.filter")


class Rules:
    """The rules of one request over its candidates.

    Attributes:
        outcomes: What each rule did, as far as the methods below have been called.
        steps: What boosts and buries add to each score in standard deviations, float64 `[candidates]`; those of one
            item add up, to at most `MAX_SHIFT` either way.
    """

    def __init__(self, rules: Sequence[Rule], rows: NDArray[np.int32], items: Items) -> None:
        """Finds out whom each rule concerns.

        Args:
            rules: As checked.
            rows: The candidates' item rows, int32 `[candidates]`.
            items: The catalogue.
        """
        self._rules, self._rows = rules, rows
        self._named = [[items.row(item_id) for item_id in dict.fromkeys(rule.item_ids or ())] for rule in rules]
        columns, kinds = items.columns.take(rows), items.columns.kinds
        self._masks: list[Mask] = [
            np.isin(rows, named) if rule.filter is None else filters.parse(rule.filter, kinds)(columns)
            for rule, named in zip(rules, self._named, strict=True)
        ]
        self.outcomes = [
            RuleOutcome(rule.kind, int(mask.sum()), unknown=named.count(-1))
            for rule, mask, named in zip(rules, self._masks, self._named, strict=True)
        ]
        self.steps = np.zeros(len(rows), np.float64)
        for rule, mask in zip(rules, self._masks, strict=True):
            self.steps[mask] += (rule.boost or 0.0) - (rule.bury or 0.0)
        beyond = np.abs(self.steps) > MAX_SHIFT
        for rule, mask, outcome in zip(rules, self._masks, self.outcomes, strict=True):
            outcome.limited = int((mask & beyond).sum()) if rule.pin is None else 0
        np.clip(self.steps, -MAX_SHIFT, MAX_SHIFT, out=self.steps)

    def shifts(self, scores: NDArray[np.float32], depth: int) -> NDArray[np.float32]:
        """Returns what the rules add to each score, float32 `[candidates]`.

        A step is one standard deviation of the first `depth` scores; where all are equal, it is 1.
        """
        spread = float(scores[:depth].std()) if len(scores) else 0.0
        shifts: NDArray[np.float32] = (self.steps * (spread if spread > LEAST_SPREAD else 1.0)).astype(np.float32)
        return shifts

    def pins(self, order: NDArray[np.int64], k: int, allowed: Allowed) -> dict[int, Pin]:
        """Gives every pin its place; an earlier rule goes first.

        A pin of ids takes its place and those after it, in the order of the ids, and need not have been found by
        retrieval. A pin by filter takes one place, for the best candidate that it holds for. Where an earlier pin
        has a place, the next free one is taken.

        Args:
            order: The candidates' positions, best first, int64 `[candidates]`.
            k: How many places there are.
            allowed: Whether the request lets items be shown.

        Returns:
            The pins by place from 0.
        """
        position = {int(row): at for at, row in enumerate(self._rows)}
        placed: dict[int, Pin] = {}
        used: set[int] = set()
        for number, (rule, mask, outcome) in enumerate(zip(self._rules, self._masks, self.outcomes, strict=True)):
            if rule.pin is None:
                continue
            if rule.filter is not None:
                wanted = [row for row in self._rows[order[mask[order]]].tolist() if row not in used][:1]
            else:
                wanted = self._allowed_rows(number, allowed)
            if rule.floor is not None:
                better = set(self._rows[order[: math.ceil((1.0 - rule.floor) * len(order))]].tolist())
                outcome.below_floor = sum(row not in better for row in wanted)
                wanted = [row for row in wanted if row in better]
            for offset, row in enumerate(wanted):
                asked = rule.pin - 1 + offset
                place = next((place for place in range(asked, k) if place not in placed), None)
                if row in used or place is None:
                    outcome.unplaced += 1
                    continue
                used.add(row)
                placed[place] = Pin(row, position.get(row, NOT_FOUND), number, asked)
        return placed

    def count_pin(self, place: int, pin: Pin) -> None:
        """Counts a pin as it stands in the list."""
        self.outcomes[pin.rule].placed += 1
        self.outcomes[pin.rule].moved += place != pin.asked

    def _allowed_rows(self, number: int, allowed: Allowed) -> list[int]:
        """Returns the rows of the ids that a pin names and the request lets be shown."""
        known = np.asarray([row for row in self._named[number] if row >= 0], np.int32)
        kept = known[allowed(known)]
        outcome = self.outcomes[number]
        outcome.matched, outcome.filtered_out = len(kept), len(known) - len(kept)
        return [int(row) for row in kept]
