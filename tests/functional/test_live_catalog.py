"""A real Triton with a log: what the shop changes of its items counts in the next answer of every server."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton

from fuserank.client import Client
from fuserank.errors import IncompatibleServerError, InvalidRequestError
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.spec import Target
from fuserank_ensemble.state.settings import StateSettings
from support.busy_machine import PATIENCE, wait_until
from support.redis_server import start_redis
from support.running import CHANGES_ONLY, assert_no_traceback, endpoints, refusal, text_tensor, url

FIELDS = ["title", "price"]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory, target: Target) -> StateSettings:
    return StateSettings(f"sqlite:{tmp_path_factory.mktemp(target) / 'log.sqlite'}")


@pytest.fixture(scope="module")
def changing(bundle_root: Path, target: Target, state: StateSettings) -> Iterator[Server]:
    with Server(bundle_root, endpoints(), target, state=state, without=("embed", "rerank", "profile")) as running:
        yield running


@pytest.fixture
def live(changing: Server) -> Iterator[Client]:
    with Client(url(changing), timeout=PATIENCE) as connected:
        yield connected


def one_item(live: Client, place: int) -> tuple[str, str]:
    """Id and title of an item of the shop, another for each place."""
    item = live.recommend("stranger", k=60, fields=["title"])[place]
    return item.id, str(item.fields["title"])


def test_an_item_with_another_price_is_found_by_that_price_alone(live: Client):
    item, title = one_item(live, 3)
    position = live.upsert([{"item_id": item, "price": 4_321.5}]).position
    dear = live.search(title, k=200, filter={"price": {"gt": 4_000}}, fields=FIELDS, min_position=position)
    assert [(found.id, found.fields["price"]) for found in dear] == [(item, 4_321.5)]
    assert dear.status.degraded == ()
    cheap = live.search(title, k=200, filter={"price": {"lt": 4_000}}, min_position=position)
    assert item not in [found.id for found in cheap]
    assert item not in [found.id for found in live.similar(text=title, k=200, filter={"price": {"lt": 4_000}})]


def test_a_deleted_item_is_never_seen_again_and_an_upsert_brings_it_back(live: Client):
    item, title = one_item(live, 5)
    neighbour = one_item(live, 6)[0]
    assert title in [suggestion.text for suggestion in live.suggest(title)]
    position = live.delete([item]).position
    for query, user in (("", "stranger"), (title, ""), (title, "stranger")):
        for options in ({}, {"rules": [{"pin": 1, "item_ids": [item]}]}, {"explore": {"rate": 1}}):
            answer = live.search(query, user, k=200, min_position=position, **options)
            assert len(answer)
            assert item not in [found.id for found in answer]
    assert item not in [found.id for found in live.similar(neighbour, k=200, min_position=position)]
    with pytest.raises(InvalidRequestError, match="ITEM_ID"):
        live.similar(item, min_position=position)
    # `suggest` takes no position, and knows it a moment later.
    deadline = time.monotonic() + PATIENCE
    titles = [found.fields["title"] for found in live.search(title, k=200, fields=["title"])]
    if title not in titles:
        while title in [suggestion.text for suggestion in live.suggest(title)]:
            assert time.monotonic() < deadline
    back = live.upsert([{"item_id": item, "price": 2.0}]).position
    answer = live.search(title, k=200, min_position=back, fields=FIELDS)
    assert {found.id: found.fields.get("price") for found in answer}[item] == 2.0


def test_prices_that_change_all_the_time_never_contradict_the_filter(live: Client):
    item, title = one_item(live, 7)
    for turn in range(20):
        position = live.upsert([{"item_id": item, "price": 9_000.0 if turn % 2 else 1.0}]).position
        answer = live.search(title, k=200, filter={"price": {"lt": 5_000}}, fields=FIELDS, min_position=position)
        assert all(found.fields["price"] < 5_000 for found in answer)
        assert (item in [found.id for found in answer]) == (turn % 2 == 0)


NEW = {
    "item_id": "new-1", "title": "zorblax marmalade 250 g", "brand": "Wumpus & Sons", "category": "Dairy > Cheese",
    "price": 7.25, "in_stock": True,
}  # fmt: skip


def ids(answer: Iterable[Any]) -> list[str]:
    return [found.id for found in answer]


class Patient:
    """A client that asks for its own writes, and again where a process of the server does not know them yet.

    The first new item costs a process a tenth of a second: on a busy machine more than a request waits.
    """

    def __init__(self, client: Client) -> None:
        self._client, self.position = client, 0

    def write(self, name: str, *values: Any) -> Any:
        """Calls `upsert`, `delete` or `record`."""
        result = getattr(self._client, name)(*values)
        self.position = max(self.position, result.position)
        return result

    def ask(self, name: str, *values: Any, **options: Any) -> Any:
        """Calls `search`, `recommend` or `similar`; returns None where the server refuses until the end."""
        deadline, answer = time.monotonic() + PATIENCE, None
        while time.monotonic() < deadline:
            try:
                answer = getattr(self._client, name)(*values, min_position=self.position, **options)
            except InvalidRequestError:
                continue
            if "stale" not in answer.status.degraded:
                break
        return answer

    def is_refused(self, item: str) -> bool:
        """Whether `similar` has no such item, once the server knows all that was written."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                self._client.similar(item, min_position=self.position)
            except InvalidRequestError:
                return True
        return False


def test_a_new_item_is_found_by_words_meaning_likeness_and_filters(live: Client):
    shop = Patient(live)
    assert "new-1" not in ids(live.search("zorblax", k=200))
    shop.write("upsert", [NEW])
    options = {"k": 200, "fields": ["title", "brand", "price"]}
    answer = shop.ask("search", "zorblax marmalade", **options)
    assert answer[0].id == "new-1"
    assert answer[0].fields == {name: NEW[name] for name in ("title", "brand", "price")}
    assert ids(shop.ask("search", "Wumpus & Sons", **options))[0] == "new-1"
    held, missed = {"brand": "Wumpus & Sons", "price": {"lt": 8}}, {"in_stock": False}
    assert ids(shop.ask("search", "zorblax", filter=held, **options)) == ["new-1"]
    assert "new-1" not in ids(shop.ask("search", "zorblax", filter=missed, **options))
    neighbours = shop.ask("similar", "new-1", k=20)
    assert len(neighbours) == 20
    assert "new-1" in ids(shop.ask("similar", neighbours[0].id, k=200))
    assert shop.ask("similar", text="zorblax marmalade 250 g", k=200)[0].id == "new-1"
    explained = shop.ask("search", "zorblax", k=1, explain=True)[0]
    assert {signal.name: signal.reason for signal in explained.signals}["popularity"] == "nobody has had it yet"
    shop.write("record", [{"user_id": "wumpus fan", "item_id": "new-1", "event": "purchase"}] * 3)
    assert "new-1" in ids(shop.ask("recommend", "wumpus fan", k=20))


def test_a_new_item_is_changed_deleted_and_returned(live: Client):
    shop, options = Patient(live), {"k": 200, "fields": FIELDS}
    shop.write("upsert", [{**NEW, "item_id": "new-2", "title": "zorblax chutney"}])
    shop.write("upsert", [{"item_id": "new-2", "price": 1.5}])
    cheap = shop.ask("search", "zorblax chutney", filter={"price": {"lt": 2}}, **options)
    assert {item.id: item.fields["title"] for item in cheap}["new-2"] == "zorblax chutney"
    shop.write("upsert", [{"item_id": "new-2", "title": "quixotic lamp"}])
    lamp = shop.ask("search", "quixotic lamp", **options)[0]
    assert (lamp.id, lamp.fields) == ("new-2", {"title": "quixotic lamp", "price": 1.5})
    assert ids(shop.ask("search", "chutney", **options))[0] != "new-2"
    assert wait_until(lambda: "quixotic lamp" in [suggestion.text for suggestion in live.suggest("quix")])
    shop.write("delete", ["new-2"])
    for query, user in (("quixotic lamp", ""), ("", "stranger"), ("quixotic lamp", "stranger")):
        assert "new-2" not in ids(shop.ask("search", query, user, **options))
    assert shop.is_refused("new-2")
    shop.write("upsert", [{"item_id": "new-2", "price": 2.5}])
    assert shop.ask("search", "quixotic lamp", **options)[0].fields == {**lamp.fields, "price": 2.5}


def test_another_title_of_an_item_of_the_bundle_replaces_its_own(live: Client):
    shop, options = Patient(live), {"k": 200, "fields": FIELDS}
    item, title = one_item(live, 9)
    shop.write("upsert", [{"item_id": item, "title": "bibulous teapot"}])
    assert shop.ask("search", "bibulous teapot", **options)[0].id == item
    assert shop.ask("similar", text="bibulous teapot", **options)[0].id == item
    by_old_title = shop.ask("search", title, **options)
    assert ids(by_old_title)[0] != item
    assert {found.id: found.fields["title"] for found in by_old_title}.get(item, "bibulous teapot") == "bibulous teapot"


def test_a_bad_new_item_is_named_at_its_place_and_the_others_are_kept(live: Client):
    result = live.upsert(
        [{**NEW, "item_id": "new-3"}, {"item_id": "new-4", "price": 3.0}, {**NEW, "item_id": "new-5", "title": ""}]
    )
    errors = [change.error for change in result.changes]
    assert (result.changed, [error.field if error else None for error in errors]) == (
        1, [None, "item_id", "fields.title"],
    )  # fmt: skip
    assert errors[1] is not None
    assert "fields.title" in errors[1].allowed


@pytest.mark.targets("single_process", reason="what a server reads when it starts is the log")
def test_a_server_that_starts_again_knows_new_items(bundle_root: Path, target: Target, tmp_path: Path):
    place = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}")
    answers, position = [], 0
    for _ in range(2):
        with (
            Server(bundle_root, endpoints(), target, state=place, without=CHANGES_ONLY) as server,
            Client(url(server), timeout=PATIENCE) as c,
        ):
            shop = Patient(c)
            if not position:
                shop.write("upsert", [NEW, {**NEW, "item_id": "new-2"}])
                position = shop.write("delete", ["new-2"]).position
            shop.position = position
            found = shop.ask("search", "zorblax", k=5, fields=["title", "brand", "price"])
            answers.append([(item.id, pytest.approx(item.score, rel=1e-4), item.fields) for item in found])
    assert answers[0] == [(item, score.expected, fields) for item, score, fields in answers[1]]
    assert answers[0][0][0] == "new-1"
    assert "new-2" not in [item for item, _, _ in answers[0]]


def test_a_thousand_changes_with_bad_ones_among_them_are_kept_but_for_these(live: Client):
    items = [found.id for found in live.recommend("stranger", k=60)]
    changes = [{"item_id": items[n % 20 + 20], "price": float(n), "change_id": f"many-{n}"} for n in range(1_000)]
    changes[17], changes[500] = {**changes[17], "pric": 1}, {**changes[500], "item_id": "no such item"}
    result = live.upsert(changes)
    assert (result.changed, result.rejected) == (998, 2)
    assert {place: change.error.field for place, change in enumerate(result.changes) if change.error} == {
        17: "fields.pric",
        500: "item_id",
    }
    again = live.upsert(changes)
    assert (again.changed, again.duplicates, again.position) == (0, 998, result.position)
    prices = {
        found.id: found.fields.get("price")
        for found in live.recommend("stranger", k=60, fields=["price"], min_position=result.position)
    }
    assert prices[items[39]] == 999.0


def test_what_is_no_batch_is_refused_with_the_field_and_what_is_allowed(changing: Server):
    with triton.InferenceServerClient(url(changing)) as client:
        for raw in (b"", b"{}", b"[]", b"\xff", b"[" + b"1," * 1_000 + b"1]"):
            code, message = refusal(client, [text_tensor("CHANGES", [[raw]])], "catalog")
            assert code == "INVALID_ARGUMENT"
            assert "CHANGES: found" in message
            assert "allowed: " in message
            assert_no_traceback(message)


def test_a_server_without_a_state_has_no_such_model(client: Client):
    with pytest.raises(IncompatibleServerError):
        client.delete(["1"])


@pytest.mark.targets("single_process", reason="what the servers share is the log alone")
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_two_servers_over_one_log_agree(bundle_root: Path, target: Target, tmp_path: Path, kind: str):
    redis = start_redis(tmp_path) if kind == "redis" else None
    place = StateSettings(redis.url if redis else f"sqlite:{tmp_path / 'log.sqlite'}")
    try:
        with (
            Server(bundle_root, endpoints(), target, state=place, without=CHANGES_ONLY) as first,
            Server(bundle_root, endpoints(), target, state=place, without=CHANGES_ONLY) as second,
            Client(url(first), timeout=PATIENCE) as one,
            Client(url(second), timeout=PATIENCE) as other,
        ):
            item, title = one_item(one, 3)
            gone = one_item(one, 4)[0]
            one.upsert([{"item_id": item, "price": 4_321.5}])
            position = other.delete([gone]).position
            for client in (one, other):
                options = {"k": 200, "min_position": position, "fields": FIELDS}
                dear = client.search(title, filter={"price": {"gt": 4_000}}, **options)
                assert [(found.id, found.fields["price"]) for found in dear] == [(item, 4_321.5)]
                assert gone not in [found.id for found in client.recommend("stranger", **options)]
                assert dear.status.position is not None
                assert dear.status.position >= position
    finally:
        if redis:
            redis.stop()
