"""The overlay is bounded, and beyond its bound the log answers the same."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest

from fuserank_ensemble.interactions.live.overlay import NOBODY, LiveOverlay, LogStart, read_person
from fuserank_ensemble.interactions.live.person import MAX_EVENTS, LivePerson
from fuserank_ensemble.state.entries import EVENT_KINDS, Forget, Merge, Personalise
from fuserank_ensemble.state.log import StateUnavailableError


def test_the_longest_idle_leave_memory_and_are_read_from_the_log(small_world):
    world, user = small_world, small_world.state.key.user
    for name in ("anna", "bob", "carl"):
        world.record(world.event("i1", user=name))
    assert set(world.overlay._people) == {user("bob"), user("carl")}
    assert [event["row"] for event in world.overlay.person(user("anna")).events] == [1]
    assert world.overlay.person(user("nobody")) == NOBODY
    world.record(world.event("i2", user="anna"))
    assert user("anna") in world.overlay._people
    assert [event["row"] for event in world.overlay.person(user("anna")).events] == [1, 2]


def random_entries(world, draw, count):
    key = world.state.key
    people = [key.user(name) for name in "abcdef"]
    for i in range(count):
        kind = draw.random()
        user = draw.choice(people)
        if kind < 0.05:
            yield Merge(
                event_id=f"m{i}", user=user, source=draw.choice([*people, key.session("s1"), key.session("s2")])
            )
        elif kind < 0.08:
            yield Forget(event_id=f"f{i}", user=user)
        elif kind < 0.1:
            yield Personalise(event_id=f"p{i}", user=user, allowed=draw.random() < 0.5)
        else:
            yield world.event(
                f"i{draw.randrange(12)}", draw.choice(EVENT_KINDS), user=draw.choice(["", *"abcdef"]),
                session=draw.choice(["s1", "s2"]), age=draw.randrange(1_000),
            )  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_what_is_in_memory_is_what_the_log_says(small_world, seed):
    world, draw = small_world, random.Random(seed)
    for entry in random_entries(world, draw, 150):
        world.record(entry)
    subjects = {subject for logged in world.state.log.read(0, 1_000) for subject in logged.entry.subjects}
    for subject in subjects:
        assert world.overlay.person(subject) == read_person(world.state.log, world.items, subject, LogStart()), subject


def test_entries_that_come_again_count_once(world):
    world.record(world.event("i1", user="anna"), world.event("i2", user="anna"))
    before = world.overlay.person(world.state.key.user("anna"))
    world.overlay.apply(world.state.log.read(0, 10))
    assert world.overlay.person(world.state.key.user("anna")) == before


def test_of_many_events_of_one_user_the_latest_stay_and_all_that_hide(world):
    world.record(world.event("i9", "hide", user="anna"))
    world.record(*(world.event(f"i{n % 5}", user="anna", age=MAX_EVENTS - n) for n in range(2 * MAX_EVENTS)))
    events = world.overlay.person(world.state.key.user("anna")).events
    assert len(events) <= MAX_EVENTS + 1
    assert len(events) > MAX_EVENTS // 2
    assert events["row"][0] == 9
    np.testing.assert_array_equal(np.diff(events["time"][1:]), 1)


def test_who_is_not_in_memory_is_unknown_for_as_long_as_the_log_is_away(small_world, monkeypatch):
    world, key = small_world, small_world.state.key
    for name in ("anna", "bob", "carl"):
        world.record(world.event("i1", user=name))
    batch = [logged for logged in world.state.log.read(0, 10) if key.user("anna") in logged.entry.subjects]

    def away(*arguments):
        raise StateUnavailableError("away")

    with monkeypatch.context() as patched:
        patched.setattr(world.state.log, "read_subject", away)
        assert len(world.overlay.person(key.user("carl")).events) == 1
        with pytest.raises(StateUnavailableError):
            world.overlay.person(key.user("anna"))
        world.overlay.apply(batch)
    assert len(world.overlay.person(key.user("anna")).events) == 1


def test_readers_see_whole_people_while_the_writer_goes_on(world):
    """No reader ever sees fewer events than before, or something half made."""
    user, torn, done = world.state.key.user("anna"), [], threading.Event()
    pairs = [[world.event("i1", user="anna"), world.event("i2", user="anna")] for _ in range(40)]

    def read():
        before = 0
        while not done.is_set():
            person = world.overlay.person(user)
            if not isinstance(person, LivePerson) or len(person.events) < before:
                torn.append(person)
            before = len(person.events)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for pair in pairs:
        world.record(*pair)
    done.set()
    for reader in readers:
        reader.join(20)
    assert torn == []
    assert len(world.overlay.person(user).events) == 80


def test_an_overlay_of_some_kinds_keeps_no_others(world):
    hides = LiveOverlay(world.items, kinds=frozenset({"hide"}))
    hides.attach(world.state, 0)
    world.append(world.event("i1", user="anna"), world.event("i2", "hide", user="anna"), world.event("i3", user="bob"))
    hides.apply(world.state.log.read(0, 10))
    user = world.state.key.user
    assert [event["row"] for event in hides.person(user("anna")).events] == [2]
    assert hides.person(user("bob")) == NOBODY
