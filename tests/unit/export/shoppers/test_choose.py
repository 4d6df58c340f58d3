"""Users of different habits are found, whatever most users are like."""

from __future__ import annotations

import pandas as pd

from fuserank_export.shoppers import choose as shoppers
from fuserank_export.shoppers.choose import choose_shoppers

KINDS = {
    "milk": "Food > Dairy",
    "bread": "Food > Bread",
    "cat food": "Pets > Cat Food",
    "beer": "Drinks > Beer",
    "odd": "X",
}


def log(**bought):
    rows = [(user, KINDS.get(item)) for user, items in bought.items() for item, n in items.items() for _ in range(n)]
    return pd.DataFrame(rows, columns=["user", "kind"])


def test_the_users_least_like_the_others_are_chosen_with_what_they_have_more_of(monkeypatch):
    monkeypatch.setattr(shoppers, "ACTIVE", 0.0)
    usual = {f"usual {number}": {"milk": 20, "bread": 20} for number in range(8)}
    events = log(cats={"cat food": 40, "milk": 2}, drinks={"beer": 40, "bread": 2}, few={"odd": 3}, **usual)
    first, second, third = choose_shoppers(events, 3)
    assert {first.user_id, second.user_id} == {"cats", "drinks"}
    assert {shopper.user_id: shopper.habits[0] for shopper in (first, second)} == {"cats": "Cat Food", "drinks": "Beer"}
    assert third.user_id.startswith("usual")
    assert (third.events, set(third.habits)) == (40, {"Dairy", "Bread"})


def test_there_may_be_fewer_users_than_asked_for():
    assert len(choose_shoppers(log(one={"milk": 30}), 3)) == 1
    assert choose_shoppers(log(one={"unheard of": 30}), 3) == []


def test_nobody_is_chosen_twice_where_all_have_the_same_habits(monkeypatch):
    monkeypatch.setattr(shoppers, "ACTIVE", 0.0)
    chosen = choose_shoppers(log(**{f"u{number}": {"milk": 17, "bread": 13} for number in range(4)}), 5)
    assert sorted(shopper.user_id for shopper in chosen) == ["u0", "u1", "u2", "u3"]
