"""Business rules, exploration and the language of reasons: what a request may ask of the ranking, with its limits.

`fuserank_ensemble.contract.options` reads them from the wire.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

MAX_RULES = 16
MAX_RULE_ITEMS = 50  # ids that one rule may name
MAX_LABEL = 64  # characters
MAX_EXPOSED = 4  # fields
MAX_SHIFT = 5.0  # standard deviations by which rules may move one item, alone or together
MAX_SLOTS = 20
MAX_SEED = 2**53 - 1  # the largest integer that every JSON reader keeps
MAX_UNCERTAIN_EVENTS = 1_000
DEFAULT_RATE = 0.1
DEFAULT_UNCERTAIN_EVENTS = 5  # as for the channel of new items

Language = Literal["en", "zh"]
ExploreMethod = Literal["softmax", "thompson"]
Shift = Annotated[float, msgspec.Meta(gt=0, le=MAX_SHIFT)]


class Rule(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One business rule: exactly one of `boost`, `bury` and `pin`, for exactly one of `filter` and `item_ids`.

    Attributes:
        boost: Standard deviations of this request's candidate scores that are added to an item's score.
        bury: Standard deviations that are subtracted from it.
        pin: The position from 1 to k that an item gets.
        filter: Which candidates, in the language of `fuserank_ensemble.catalog.filters`.
        item_ids: Which items.
        label: Of a pin: what the reply calls its items, such as "Sponsored".
        floor: Of a pin: the share of the candidates that its items must be better than to be shown.
    """

    boost: Shift | None = None
    bury: Shift | None = None
    pin: Annotated[int, msgspec.Meta(ge=1)] | None = None
    filter: dict[str, Any] | None = None
    item_ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_RULE_ITEMS)] | None = None
    label: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_LABEL)] | None = None
    floor: Annotated[float, msgspec.Meta(ge=0, lt=1)] | None = None

    @property
    def kind(self) -> str:
        """`boost`, `bury` or `pin`."""
        return "boost" if self.boost is not None else "bury" if self.bury is not None else "pin"

    @property
    def last_pin(self) -> int:
        """The last place from 1 that a pin names; 0 for no pin."""
        return 0 if self.pin is None else self.pin + len(self.item_ids or (0,)) - 1


class Explore(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Shows items with few events now and then, see `fuserank_ensemble.ranking.exploration`.

    Attributes:
        method: How a slot that explores chooses, see `fuserank_ensemble.ranking.exploration`.
        rate: Probability that a slot explores.
        slots: Places from 1 to k that may explore; by default the last place alone.
        seed: Of the draws; by default a fresh one, which `STATUS` names.
        max_events: Items with fewer events of all users than this are uncertain.
    """

    method: ExploreMethod = "softmax"
    rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = DEFAULT_RATE
    slots: Annotated[list[int], msgspec.Meta(min_length=1, max_length=MAX_SLOTS)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEED)] | None = None
    max_events: Annotated[int, msgspec.Meta(ge=1, le=MAX_UNCERTAIN_EVENTS)] = DEFAULT_UNCERTAIN_EVENTS


_STEPS = f"a number of standard deviations of the candidates' scores, above 0, up to {MAX_SHIFT:g}"
# What each option allows, in words; errors quote it.
ALLOWED = {
    "rules": f'a list of at most {MAX_RULES} rules such as {{"boost": 1, "filter": {{"brand": "Acme"}}}}',
    "rules.boost": _STEPS,
    "rules.bury": _STEPS,
    "rules.pin": "a place from 1 to k",
    "rules.filter": 'an object such as {"brand": "Acme", "price": {"gte": 1, "lt": 5}}',
    "rules.item_ids": f"a list of 1 to {MAX_RULE_ITEMS} item ids (strings)",
    "rules.label": f"of a pin: 1 to {MAX_LABEL} characters",
    "rules.floor": "of a pin: a share of the candidates from 0 to below 1",
    "exposure": f'an object of at most {MAX_EXPOSED} fields, such as {{"brand": {{"max_share": 0.4}}}}',
    "explore": "an object with method, rate, slots, seed, max_events",
    "explore.method": "softmax or thompson",
    "explore.rate": "a probability from 0 to 1",
    "explore.slots": f"a list of 1 to {MAX_SLOTS} different places from 1 to k",
    "explore.seed": f"an integer from 0 to {MAX_SEED}",
    "explore.max_events": f"an integer from 1 to {MAX_UNCERTAIN_EVENTS:,}",
    "language": "en or zh",
}
