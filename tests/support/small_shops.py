"""Shops made by code, small enough to export in a test: a grocery with a log, one on its first day, one item."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

SEED = 11
DAYS = 120
LOG_END = datetime(2024, 5, 1, tzinfo=UTC)  # long ago: a request without a time gets the log's end, so answers stay put
BRANDS = ("Acme", "Zenith", "Bluebird", "Old Mill", "Sunny", "Northern", "Kitchen & Co", "Prairie")
SIZES = ("250 g", "500 g", "1 kg")
TAGS = ("organic", "vegan", "family pack", "new recipe", "gluten free")
KINDS = {
    "Dairy > Milk": ("whole milk", "skimmed milk", "oat milk", "half gallon milk", "chocolate milk"),
    "Dairy > Cheese": ("cheddar cheese", "mozzarella", "goat cheese", "cream cheese"),
    "Dairy > Yogurt": ("greek yogurt", "strawberry yogurt", "plain yogurt"),
    "Bakery > Bread": ("sliced bread", "rye bread", "baguette", "wholemeal bread"),
    "Bakery > Cookies": ("chocolate chip cookies", "oatmeal cookies", "butter cookies"),
    "Drinks > Juice": ("orange juice", "apple juice", "tomato juice"),
    "Drinks > Coffee": ("ground coffee", "instant coffee", "coffee beans"),
    "Drinks > 茶": ("绿茶", "红茶", "乌龙茶", "茉莉花茶"),
    "Household > Laundry": ("laundry detergent", "fabric softener"),
    "Household > Paper": ("paper towels", "toilet paper", "napkins"),
}


@dataclass(frozen=True)
class Shop:
    """A shop's input files and what they hold.

    Attributes:
        catalog: The catalogue's file.
        interactions: The log's file, or None on the first day.
        items: The catalogue's rows by item id.
        bought: The items that each user had an event with.
    """

    catalog: Path
    interactions: Path | None
    items: dict[str, dict[str, Any]]
    bought: dict[str, set[str]]

    def ids(self, **wanted: Any) -> set[str]:
        """The items whose fields hold these values."""
        return {i for i, row in self.items.items() if all(row.get(name) == value for name, value in wanted.items())}


def grocery(folder: Path, count: int = 300, users: int = 40) -> Shop:
    """A shop of `count` items as JSON Lines and 120 days of `users` shoppers' habits as Parquet."""
    draw = random.Random(SEED)
    items = [_item(draw, number) for number in range(count)]
    catalog = folder / "items.jsonl"
    catalog.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items), "utf-8")
    events = _log(draw, items, users)
    interactions = folder / "events.parquet"
    pd.DataFrame(events).to_parquet(interactions)
    bought: dict[str, set[str]] = {}
    for event in events:
        bought.setdefault(event["user_id"], set()).add(event["item_id"])
    return Shop(catalog, interactions, {item["item_id"]: item for item in items}, bought)


def first_day(folder: Path) -> Shop:
    """A shop of twenty Chinese titles as CSV: no log, no category, no brand, no price."""
    tastes, things = ("有机", "特级", "家庭装", "进口"), ("绿茶", "牛奶", "大米", "酱油", "饼干")
    titles = [f"{taste}{thing}" for taste in tastes for thing in things]
    rows = [{"item_id": f"商品{number:02}", "title": title} for number, title in enumerate(titles)]
    return _csv(folder, rows)


def bad_rows(folder: Path) -> Shop:
    """A shop whose files hold what they should not; `items` and `bought` are what is left of them."""
    rows: list[dict[str, Any]] = [{"item_id": f"ok{number}", "title": f"tea number {number}"} for number in range(9)]
    rows += [
        {"item_id": "long", "title": "tea " * 25_600},
        {"item_id": "control", "title": "black\x07 tea\x1b"},
        {"item_id": "emoji", "title": "🍵👩‍🌾"},
        {"item_id": "free", "title": "tea sample", "price": 0},
        {"item_id": "later", "title": "tea of tomorrow", "created_at": "2999-01-01"},
    ]
    items = {row["item_id"]: row for row in rows}
    rows += [
        {"item_id": "untitled", "title": ""},
        {"item_id": "ok0", "title": "tea again"},
        {"item_id": "negative", "title": "refund", "price": -1},
        {"item_id": "cycle", "title": "tea", "category": "A > B > A"},
    ]
    catalog = folder / "items.jsonl"
    catalog.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    event = {"user_id": "u00", "event": "view", "timestamp": int(LOG_END.timestamp())}
    events = [{**event, "item_id": item} for item in ("long", "emoji", "untitled", "gone", "gone")]
    events.append({**event, "item_id": "ok1", "timestamp": "2999-01-01"})
    interactions = folder / "events.jsonl"
    interactions.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in events), "utf-8")
    return Shop(catalog, interactions, items, {"u00": {"long", "emoji"}})


def single_item(folder: Path) -> Shop:
    """A shop that sells one thing."""
    return _csv(folder, [{"item_id": "only", "title": "hand-made wooden chair"}])


def _csv(folder: Path, rows: list[dict[str, Any]]) -> Shop:
    catalog = folder / "items.csv"
    pd.DataFrame(rows).to_csv(catalog, index=False)
    return Shop(catalog, None, {row["item_id"]: row for row in rows}, {})


def _item(draw: random.Random, number: int) -> dict[str, Any]:
    category = list(KINDS)[number % len(KINDS)]
    kind, size = draw.choice(KINDS[category]), draw.choice(SIZES)
    item = {
        "item_id": f"i{number:04}",
        "title": f"{kind} {size}",
        "category": category,
        "brand": draw.choice(BRANDS),
        "price": round(draw.uniform(0.5, 12), 2),
        "in_stock": draw.random() < 0.8,
        "size": size,
        "tags": draw.sample(TAGS, draw.randint(0, 3)),
        "description": f"{kind}, number {number} of our range",
    }
    # Real catalogues have holes.
    for name in ("brand", "price", "description"):
        if draw.random() < 0.05:
            del item[name]
    return item


def _log(draw: random.Random, items: list[dict[str, Any]], users: int) -> list[dict[str, Any]]:
    by_category: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        by_category.setdefault(item["category"], []).append(item)
    events = []
    for number in range(users):
        favourites = [draw.choice(by_category[category]) for category in draw.sample(sorted(by_category), 3)]
        favourites += [draw.choice(by_category[favourite["category"]]) for favourite in favourites]
        day = draw.uniform(0, 5)
        while day < DAYS:
            for item in [*draw.sample(favourites, 2), draw.choice(items)]:
                moment = LOG_END - timedelta(days=DAYS - day)
                searched = item["category"].rsplit(" > ", 1)[-1].lower() if draw.random() < 0.4 else None
                for event in ("view", "purchase") if draw.random() < 0.7 else ("click",):
                    events.append(
                        {
                            "user_id": f"u{number:02}",
                            "item_id": item["item_id"],
                            "event": event,
                            "timestamp": int(moment.timestamp()),
                            "query": searched,
                        }
                    )
            day += draw.uniform(4, 10)
    return events
