"""Where the overlay begins: what a bundle holds counts once, and what people asked for before still holds."""

from __future__ import annotations

from fuserank_ensemble.interactions.live.overlay import LiveOverlay
from fuserank_ensemble.state.entries import Forget, Personalise


def rows(person):
    return person.events["row"].tolist()


def test_what_the_bundle_holds_is_not_read_again_from_the_log(world):
    (held,) = world.record(world.event("i1", user="anna"))
    world.record(world.event("i2", user="anna"), world.event("i3", user="bob"), world.event("i4", user="cleo"))
    overlay = LiveOverlay(world.items, max_people=1)
    overlay.attach(world.state, held.position)
    overlay.apply(world.state.log.read(held.position, 100))
    # Whoever had to leave memory is read from the log, which still has what the bundle holds.
    assert [rows(overlay.person(world.state.key.user(name))) for name in ("anna", "bob", "cleo")] == [[2], [3], [4]]


def test_an_opt_out_and_a_forgotten_person_outlive_the_log_and_the_bundle(world):
    key, log = world.state.key, world.state.log
    anna, bob = key.user("anna"), key.user("bob")
    world.record(Personalise(event_id="p", user=anna, allowed=False), Forget(event_id="f", user=bob))
    last = log.last_position()
    log.trim(last, keep_seconds=0.0)
    made_after, made_before = LiveOverlay(world.items), LiveOverlay(world.items)
    made_after.attach(world.state, last)
    made_before.attach(world.state, 0)
    assert [overlay.person(anna).personalised for overlay in (made_after, made_before)] == [False, False]
    # The later bundle was made without bob's past, the earlier one still holds it.
    assert [overlay.person(bob).forgotten for overlay in (made_after, made_before)] == [False, True]
    world.append(world.event("i1", user="anna"))
    made_after.apply(log.read(last, 10))
    assert made_after.person(anna).personalised is False
    assert rows(made_after.person(anna)) == [1]
