"""A shop whose rating decides what people buy of what they search for, or has nothing to do with it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from support.tiny_shop import KINDS, write_csv

END = datetime(2024, 6, 1, tzinfo=UTC)
ITEMS_OF_KIND, USERS, DAYS, EVERY, VIEWS = 48, 60, 150, 6, 4
CATEGORIES = {category: kinds for category, kinds in KINDS.items() if category.isascii()}


@dataclass(frozen=True)
class RatedShop:
    """A shop's files: a catalogue with the rating that decides, one with another, and the log."""

    rated: Path
    noise: Path
    interactions: Path


def write_rated_shop(folder: Path, every: int = EVERY) -> RatedShop:
    """Writes the files; everybody comes once in so many days.

    People look at what is promoted and buy what is rated well; few have bought any one item.
    """
    draw = random.Random(5)
    kinds = [(category, kind) for category, names in CATEGORIES.items() for kind in names]
    items = [
        {"item_id": f"i{number:03}", "title": f"{kind} {number}", "category": category}
        for number, (category, kind) in enumerate(pair for pair in kinds for _ in range(ITEMS_OF_KIND))
    ]
    ratings = [round(draw.uniform(1, 5), 2) for _ in items]
    bought = np.exp(2.0 * np.asarray(ratings))
    seen = np.exp([draw.gauss(0.0, 1.5) for _ in items])
    events = []
    for user in range(USERS):
        for day in range(0, DAYS, every):
            number = draw.randrange(len(kinds))
            choices = range(number * ITEMS_OF_KIND, (number + 1) * ITEMS_OF_KIND)
            purchase = draw.choices(choices, bought[choices].tolist())
            views = draw.choices(choices, seen[choices].tolist(), k=VIEWS)
            events += [
                {
                    "user_id": f"u{user:02}",
                    "item_id": items[item]["item_id"],
                    "event": event,
                    "timestamp": (END - timedelta(days=DAYS - day, minutes=user)).isoformat(),
                    "query": kinds[number][1],
                }
                for event, chosen in (("view", views), ("purchase", purchase))
                for item in chosen
            ]
    shuffled = draw.sample(ratings, len(ratings))
    return RatedShop(
        write_csv(folder / "rated.csv", [item | {"rating": f"{r}"} for item, r in zip(items, ratings, strict=True)]),
        write_csv(folder / "noise.csv", [item | {"rating": f"{r}"} for item, r in zip(items, shuffled, strict=True)]),
        write_csv(folder / "events.csv", events),
    )


@dataclass(frozen=True)
class GroupedShop:
    """A shop's files: a catalogue, a log with devices, and users with their tiers."""

    catalog: Path
    interactions: Path
    users: Path


def write_grouped_shop(folder: Path, users: int = 900, visits: int = 2, of_kind: int = 6) -> GroupedShop:
    """Writes the files. Of every other kind of thing tiers buy different items, of the rest devices do.

    Everybody comes seldom, so that what a user had before tells little.
    """
    draw = random.Random(6)
    kinds = [(category, kind) for category, names in CATEGORIES.items() for kind in names]
    items = [
        {"item_id": f"i{number:03}", "title": f"{kind} {number}", "category": category}
        for number, (category, kind) in enumerate(pair for pair in kinds for _ in range(of_kind))
    ]
    wanted = {group: np.exp([draw.gauss(0.0, 3.0) for _ in items]) for group in ("gold", "silver", "app", "web")}
    tiers = {f"telling-user-{user:03}": ("gold", "silver")[user % 2] for user in range(users)}
    events = []
    for user, tier in tiers.items():
        for _ in range(visits):
            number, device = draw.randrange(len(kinds)), draw.choice(("app", "web"))
            choices = range(number * of_kind, (number + 1) * of_kind)
            weights = wanted[tier if number % 2 else device][choices]
            events.append(
                {
                    "user_id": user,
                    "item_id": items[draw.choices(choices, weights.tolist())[0]]["item_id"],
                    "event": "purchase",
                    "timestamp": (END - timedelta(days=draw.uniform(0, DAYS))).isoformat(),
                    "query": kinds[number][1],
                    "device": device,
                }
            )
    rows = [{"user_id": user, "tier": tier} for user, tier in tiers.items()]
    return GroupedShop(
        write_csv(folder / "items.csv", items),
        write_csv(folder / "events.csv", events),
        write_csv(folder / "users.csv", [*rows, {"user_id": "somebody new", "tier": "gold"}]),
    )
