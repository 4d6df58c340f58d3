"""What a visitor does is kept in the cookie, recorded as it was done, or told."""

from __future__ import annotations

import logging
from urllib.parse import urlencode

import pytest

from fuserank.errors import ServerUnavailableError
from fuserank.storefront.app import ShopSettings, create_app
from fuserank.storefront.preferences import COOKIE, Knobs, Preferences, read_preferences, write_preferences
from fuserank.storefront.shoppers import Shopper
from support.asgi import send
from support.shop_client import ShopClient

ME = Preferences(session="a-session", language="en", basket=("1",))
LISTED = {"referer": "http://127.0.0.1:2/search?q=milk", "content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def client():
    return ShopClient()


class Visitor:
    """A browser: sends the cookies that it was given."""

    def __init__(self, client, preferences=ME):
        self.app = create_app(client, ShopSettings(shoppers=(Shopper("u1", 3),)))
        self.cookies = {COOKIE: write_preferences(preferences)}

    def get(self, path):
        return self._send("GET", path)

    def post(self, path, **form):
        answer = self._send("POST", path, urlencode(form).encode(), LISTED)
        return answer, self.get("/basket").text if answer.status == 303 else answer.text

    @property
    def preferences(self):
        return read_preferences(self.cookies[COOKIE], {"u1"})

    def _send(self, method, path, content=b"", headers=None):
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = send(self.app, method, path, content, {"cookie": cookie, **(headers or {})})
        for name, morsel in answer.cookies.items():
            self.cookies[name] = morsel.value
            assert morsel["samesite"].lower() == "lax" or morsel["max-age"] == "0"
            assert morsel["httponly"] or morsel["max-age"] == "0"
        self.cookies = {name: value for name, value in self.cookies.items() if value and value != '""'}
        return answer


@pytest.mark.parametrize("path", ["/", "/search?q=milk", "/basket", "/compare?q=milk", "/item/1", "/nowhere"])
def test_a_page_that_changes_nothing_sets_no_cookie(client, path):
    assert COOKIE not in Visitor(client).get(path).cookies


def test_a_cookie_is_set_for_whoever_has_none_or_did_something(client):
    visitor = Visitor(client)
    assert COOKIE in visitor.get("/item/1?click=0123456789ab&place=3&q=milk").cookies
    assert visitor.preferences.position == 1
    visitor.cookies = {}
    assert COOKIE in visitor.get("/").cookies
    answer, _ = visitor.post("/preferences", graph="1")
    assert COOKIE in answer.cookies


def test_a_product_is_put_into_the_basket_with_its_place_and_query(client):
    visitor = Visitor(client)
    answer, page = visitor.post("/events", event="cart", item="2", place="7", query="lamp")
    assert dict(answer.headers)["location"] == "/search?q=milk"
    assert visitor.preferences.basket == ("1", "2")
    assert "Added Lamp to the basket." in page
    (event,) = client.events
    assert (event["item_id"], event["event"], event["position"], event["query"]) == ("2", "cart", 7, "lamp")


@pytest.mark.parametrize("place", ["", "0", "10001", "99999999999999999999", "-1", "three"])
def test_a_place_that_no_list_has_is_not_made_up(client, place):
    Visitor(client).post("/events", event="cart", item="2", place=place)
    assert "position" not in client.events[0]


@pytest.mark.parametrize("event", ["cart", "purchase", "hide"])
def test_an_item_that_the_catalogue_has_not_is_refused_and_told(client, event):
    visitor = Visitor(client)
    _, page = visitor.post("/events", event=event, item="x" * 2_000)
    assert "The catalogue has no product xxx" in page
    assert (visitor.preferences, client.events) == (ME, [])


def test_what_the_server_refuses_is_told_and_the_basket_stays(client):
    client.refused = {"2"}
    visitor = Visitor(client)
    _, page = visitor.post("/events", event="cart", item="2")
    assert "The server did not record this: item_id: found 2; allowed: another item" in page
    assert visitor.preferences == ME
    assert "did not record this" in visitor.get("/item/2?click=0123456789ab").text


def test_a_checkout_keeps_what_was_refused(client):
    client.refused = {"2"}
    visitor = Visitor(client, Preferences(session="a-session", language="en", basket=("1", "2")))
    answer, page = visitor.post("/checkout")
    assert dict(answer.headers)["location"] == "/basket"
    assert visitor.preferences.basket == ("2",)
    assert "did not record this" in page


def test_what_the_catalogue_has_no_more_leaves_the_basket_with_a_word(client):
    visitor = Visitor(client, Preferences(session="a-session", language="en", basket=("1", "9", "2")))
    answer, page = visitor.post("/checkout")
    assert (dict(answer.headers)["location"], client.events) == ("/basket", [])
    assert "Taken out of the basket, since the catalogue has them no more: 1." in page
    assert visitor.preferences.basket == ("1", "2")
    assert visitor.post("/checkout")[0].status == 303
    assert [event["item_id"] for event in client.events] == ["1", "2"]
    assert visitor.preferences.basket == ()


def test_a_basket_that_is_full_says_so(client):
    full = Preferences(session="a-session", language="en", basket=tuple(str(n) for n in range(100, 130)))
    visitor = Visitor(client, full)
    client.products |= {item_id: {"title": "T"} for item_id in full.basket}
    _, page = visitor.post("/events", event="cart", item="2")
    assert "The basket is full." in page
    assert (visitor.preferences, client.events) == (full, [])


def test_a_basket_that_nothing_goes_with_is_shown(client):
    client.alike = []
    assert 'data-item="1"' in Visitor(client).get("/basket").text


def test_a_server_without_a_state_says_what_it_did_not_record(client):
    client.stateless = True
    visitor = Visitor(client)
    assert "keeps no state" in visitor.post("/events", event="purchase", item="2")[1]
    assert "Added Lamp" in visitor.post("/events", event="cart", item="2")[1]
    assert visitor.preferences.basket == ("1", "2")


def test_what_was_sent_while_the_server_is_away_is_said_to_be_lost(client):
    visitor = Visitor(client)
    visitor.get("/")
    client.failure = ServerUnavailableError("away")
    answer, page = visitor.post("/events", event="cart", item="2")
    assert answer.status == 503
    assert "may not have been recorded" in page[page.index("data-break") :]
    shown = visitor.get("/").text
    assert "may not have been recorded" not in shown[shown.index("data-break") :]


def test_impressions_that_are_lost_or_refused_are_logged(client, caplog):
    client.refused = {"2"}
    with caplog.at_level(logging.WARNING):
        Visitor(client).get("/")
    assert "1 of 3 impressions were refused: item_id: found 2" in caplog.text


def test_the_sliders_weights_reach_every_page_of_a_narrowed_list(client):
    knobs = Knobs(relevance=1, click=0, purchase=0)
    visitor = Visitor(client, Preferences(session="a-session", arm="b", knobs=knobs))
    for path in (
        "/search?q=milk",
        "/search?q=milk&f.category=Food&page=2",
        "/search?q=milk&from.price=1",
        "/compare?q=milk",
    ):
        visitor.get(path)
        assert client.batches[-1][0].objective == {"relevance": 1, "click": 0, "purchase": 0}, path
    assert client.batches[1][0].offset == 24


def test_weights_that_are_all_0_are_told(client):
    knobs = Knobs(relevance=1, click=0, purchase=0)
    visitor = Visitor(client, Preferences(session="a-session", language="en", arm="b", graph=True, knobs=knobs))
    assert "only clicks and purchases weigh" in visitor.get("/").text
    assert "own weights hold" not in visitor.get("/search?q=milk").text


def test_a_price_that_cannot_be_meant_is_answered_in_words(client):
    page = Visitor(client).get("/search?q=milk&from.price=9&upto.price=2,50").text
    assert "Price: 9.00 … 2.50 ends before it starts" in page
    assert client.batches[-1][0].filter is None


def test_sliders_stand_where_they_order_something(client):
    visitor = Visitor(client, Preferences(session="a-session", graph=True, basket=("1",)))
    assert 'name="diversity"' in visitor.get("/search?q=milk").text
    for path in ("/item/1", "/basket"):
        page = visitor.get(path).text
        assert 'name="diversity"' not in page
        assert "not known to the log" not in page
