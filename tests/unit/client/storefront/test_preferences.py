"""A cookie holds what was chosen; one that was tampered with holds nothing."""

from __future__ import annotations

import base64

import pytest

from fuserank.storefront.preferences import Knobs, Preferences, read_preferences, write_preferences
from fuserank.types import Request

ME = Preferences(
    session="a-session", user="u1", language="zh", theme="dark", graph=True, arm="b", position=7, basket=("1", "2")
)


def test_what_was_written_is_read():
    assert read_preferences(write_preferences(ME), {"u1"}) == ME


@pytest.mark.parametrize(
    "cookie",
    [None, "", "garbage", "eyJ9", write_preferences(ME)[:-4]]
    + [
        base64.urlsafe_b64encode(text.encode()).decode()
        for text in (
            "[]", '{"session": "short"}', '{"session": "long-enough", "theme": "pink"}',
            '{"session": "long-enough", "position": -1}', '{"session": "long-enough", "admin": true}',
            '{"session": "long-enough", "knobs": {"diversity": 2}}',
        )
    ],
)  # fmt: skip
def test_what_is_not_valid_starts_anew(cookie):
    fresh = read_preferences(cookie, {"u1"})
    assert fresh == Preferences(session=fresh.session)
    assert fresh.session != read_preferences(cookie, {"u1"}).session


def test_somebody_who_may_not_be_played_is_nobody():
    assert read_preferences(write_preferences(ME), {"u2"}).user == ""


def test_a_new_shopper_asks_as_a_session_and_a_known_one_as_a_user():
    assert ME.ask("milk") == Request("milk", "u1", min_position=7)
    assert Preferences(session="a-session").ask() == Request("", "", session_id="a-session")


def test_the_sliders_count_with_arm_b_alone():
    request = Request("milk", "u1", k=24)
    assert Preferences(session="a-session", knobs=Knobs(diversity=1.0)).rank(request) == request
    ranked = Preferences(session="a-session", arm="b", knobs=Knobs(0.1, 0.2, 0.3, 0.4, 0.5)).rank(request)
    assert ranked.objective == {"relevance": 0.1, "click": 0.2, "purchase": 0.3}
    assert ranked.diversity == 0.4
    assert ranked.explore == {"rate": 0.5, "slots": [21, 22, 23, 24]}
    second = Preferences(session="a-session", arm="b", knobs=Knobs(explore=0.5)).rank(Request("milk", k=24, offset=24))
    assert second.explore is None


def test_weights_that_nothing_could_be_ranked_by_are_not_sent():
    relevant = Preferences(session="a-session", arm="b", knobs=Knobs(relevance=1, click=0, purchase=0))
    assert relevant.rank(Request(k=2)).objective is None
    assert relevant.rank(Request("milk", k=2)).objective == {"relevance": 1, "click": 0, "purchase": 0}
    nothing = Preferences(session="a-session", arm="b", knobs=Knobs(0, 0, 0))
    assert nothing.rank(Request("milk", k=2)).objective is None
    assert relevant.rank(Request(k=2)).explore is None


def test_a_basket_takes_what_fits_into_a_cookie():
    for item_id in ("7" * 40, "牛" * 40, "x" * 1_024):
        held = ME
        for number in range(99):
            more = held.put_in(f"{item_id}{number}")
            if more is None:
                break
            held = more
        assert len(held.basket) < 99
        assert len(write_preferences(held)) < 4_000
        assert read_preferences(write_preferences(held), {"u1"}) == held
    assert ME.put_in("1") == ME
    assert ME.take_out("1", "none").basket == ("2",)
