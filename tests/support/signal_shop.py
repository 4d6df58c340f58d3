"""The tiny shop with signals of its own: items are rated, users have tiers, and events happen on devices."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from support.tiny_shop import USERS, make_shop, write_csv


@dataclass(frozen=True)
class SignalShop:
    """A shop's files: a catalogue with ratings, a log with devices, and users with their tiers."""

    catalog: Path
    interactions: Path
    users: Path


def user_name(number: int) -> str:
    """What the files call a user; nothing else holds these words."""
    return f"telling-user-{number:02}"


def write_signal_shop(folder: Path) -> SignalShop:
    """Writes the files. Even users are gold and odd ones silver; the log does not know `somebody new`, who is gold."""
    draw = random.Random(5)
    shop, events = make_shop(folder)
    items = [item | {"rating": f"{draw.uniform(1, 5):.2f}"} for item in shop.items.values()]
    tiers = {user_name(number): ("gold", "silver")[number % 2] for number in range(USERS)}
    of_users = [
        event | {"user_id": user_name(int(event["user_id"][1:])), "device": draw.choice(("app", "web"))}
        for event in events
    ]
    return SignalShop(
        write_csv(folder / "items.csv", items),
        write_csv(folder / "events.csv", of_users),
        write_csv(
            folder / "users.csv",
            [{"user_id": user, "tier": tier} for user, tier in ({**tiers, "somebody new": "gold"}).items()],
        ),
    )
