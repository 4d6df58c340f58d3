"""A bundle names users by hashes under a key, and what is learned does not depend on the key."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.interactions.history import HistorySnapshot
from fuserank_ensemble.state.identity import IdentityKey
from fuserank_export.index.users import match_users, name_users, rename_users, user_key
from fuserank_export.sources import Interactions, read_interactions
from fuserank_export.sources.users import read_users

NOW = 1_700_000_000
ITEMS = ["a", "b", "c"]
KEYS = [IdentityKey(bytes([number]) * 32) for number in (1, 2, 3)]
USERS = ["ann", "bob", "cy", "di"]


@pytest.fixture
def log(write_csv):
    rows = [
        {"user_id": user, "item_id": item, "event": event, "timestamp": NOW - age}
        for user, item, event, age in (
            *(("ann", "a", "purchase", 9), ("cy", "b", "view", 8), ("bob", "c", "cart", 7), ("ann", "b", "view", 6)),
            *(("di", "a", "hide", 5), ("bob", "b", "dislike", 4)),
        )
    ]
    users = [{"user_id": user, "tier": f"t{number % 2}"} for number, user in enumerate(reversed(USERS))]
    segments, _ = read_users(write_csv(users, "users.csv"))
    read = read_interactions(write_csv(rows), ITEMS, now=NOW)
    assert read.negatives.user_ids == ["ann", "bob", "cy", "di"]
    return read.__class__(**{**vars(read), "segments": segments})


def events(log: Interactions):
    """Who did what, in the order of the log."""
    positive = zip([log.user_ids[user] for user in log.user], log.item.tolist(), strict=True)
    negative = zip([log.negatives.user_ids[user] for user in log.negatives.user], log.negatives.item, strict=True)
    return [*positive, *negative]


@pytest.mark.parametrize("key", KEYS)
def test_each_user_has_one_name_in_all_parts_and_names_are_in_order(log, key):
    named = name_users(log, key)
    assert events(named) == [(key.user_name(user), item) for user, item in events(log)]
    assert named.user_ids == sorted(named.user_ids)
    assert named.segments.users.tolist() == sorted(key.user_name(user).encode() for user in USERS)
    for user in USERS:
        assert named.segments.values(key.user_name(user), NOW) == log.segments.values(user, NOW)
        assert named.segments.values(user, NOW) == {}


def test_histories_are_found_by_name_alone_and_say_the_same_under_every_key(log):
    named = name_users(log, KEYS[0])
    kept = HistorySnapshot.from_log(
        np.asarray([user.encode() for user in named.user_ids], "S"), named.user, named.item, named.timestamp
    )
    raw = HistorySnapshot.from_log(
        np.asarray([user.encode() for user in log.user_ids], "S"), log.user, log.item, log.timestamp
    )
    for user in ("ann", "bob", "cy"):
        assert kept.get(user) is None
        np.testing.assert_array_equal(kept.get(KEYS[0].user_name(user)).rows, raw.get(user).rows)
        assert kept.get(KEYS[1].user_name(user)) is None


def test_names_stay_as_they_are_under_any_key(log):
    once = name_users(log, KEYS[0])
    again = name_users(once, KEYS[1])
    assert (again.user_ids, again.user.tolist()) == (once.user_ids, once.user.tolist())
    assert again.segments.users.tolist() == once.segments.users.tolist()


def test_groups_are_told_again_by_the_ids_of_a_log(log):
    named = name_users(log, KEYS[0])
    back = rename_users(named.segments, {KEYS[0].user_name(user): user for user in ("di", "ann", "unheard of")})
    assert back.users.tolist() == [b"ann", b"di"]
    for user in ("ann", "di"):
        assert back.values(user, NOW) == log.segments.values(user, NOW)


@pytest.mark.parametrize("hashed", ["log", "users"])
def test_groups_are_found_where_the_log_or_the_users_file_has_hashed_names(log, hashed):
    named = name_users(log, KEYS[0])
    of_log, of_file = (named, log) if hashed == "log" else (log, named)
    matched = match_users(of_file.segments, of_log, KEYS[0])
    for user, name in zip(USERS, map(KEYS[0].user_name, USERS), strict=True):
        known = name if hashed == "log" and name in named.user_ids else user
        if known in of_log.user_ids:
            assert matched.values(known, NOW) == log.segments.values(user, NOW)
    renamed = name_users(of_log.__class__(**{**vars(of_log), "segments": matched}), KEYS[0])
    assert renamed.segments.users.tolist() == named.segments.users.tolist()


def test_a_user_of_the_users_file_by_id_and_by_hash_is_one(log, write_csv):
    rows = [{"user_id": user, "tier": tier} for user, tier in (("ann", "t0"), (KEYS[0].user_name("ann"), "t1"))]
    segments, _ = read_users(write_csv(rows, "twice.csv"))
    assert match_users(segments, log, KEYS[0]).users.tolist() == [b"ann"]


def test_a_bundle_of_nobody_has_no_key(log):
    assert user_key(KEYS[0], Interactions.empty()) == ""
    assert user_key(KEYS[0], log) == KEYS[0].fingerprint
