"""One request of a visitor: who it is, in which language, and the page that answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
from jinja2 import Environment
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from fuserank.storefront.preferences import COOKIE, Preferences, Theme, read_preferences, write_preferences
from fuserank.storefront.render.words import LANGUAGES, Words, choose_language
from fuserank.storefront.shoppers import Shopper
from fuserank.types import Language

NOTE_COOKIE = "fuserank-shop-note"
NOTE_SECONDS = 30
YEAR_SECONDS = 31_536_000
MAX_NOTE_VALUE = 240
LEAST_PRICE = 0.01
THEMES: tuple[Theme, ...] = ("auto", "light", "dark")


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an action did, said on the next page."""

    key: str
    values: dict[str, str] = {}


@dataclass(frozen=True)
class Visit:
    """Who asks.

    Attributes:
        request: The request.
        preferences: What the visitor has chosen.
        language: Of the page and of the reasons.
        words: The texts in it.
    """

    request: Request
    preferences: Preferences
    language: Language
    words: Words

    def address(self) -> str:
        """Returns the path and parameters that were asked for; of an action, where the visitor comes from."""
        url = self.request.url
        return self.back() if self.request.method == "POST" else url.path + (f"?{url.query}" if url.query else "")

    def back(self) -> str:
        """Returns the path of this shop that the visitor comes from; the home page where it is not known."""
        came_from = urlsplit(self.request.headers.get("referer", ""))
        if came_from.netloc != self.request.url.netloc or not came_from.path.startswith("/"):
            return "/"
        return f"/{came_from.path.lstrip('/')}" + (f"?{came_from.query}" if came_from.query else "")


class Renderer:
    """Makes visits of requests and pages of templates.

    Args:
        templates: The pages.
        shoppers: Users that a visitor may play.
        static: The path of the static files.
        currency: Stands before prices.
    """

    def __init__(self, templates: Environment, shoppers: Sequence[Shopper], static: str, currency: str) -> None:
        self._templates = templates
        self.shoppers = {shopper.user_id: shopper for shopper in shoppers}
        templates.globals["static"] = static
        templates.filters["money"] = lambda price: _spell_price(price, currency)

    def visit(self, request: Request) -> Visit:
        """Returns who sent a request."""
        preferences = read_preferences(request.cookies.get(COOKIE), self.shoppers)
        language = preferences.language or choose_language(request.headers.get("accept-language", ""))
        return Visit(request, preferences, language, Words(language))

    def page(
        self,
        visit: Visit,
        template: str,
        context: Mapping[str, Any] | None = None,
        *,
        status: int = 200,
        background: BackgroundTask | None = None,
        note: Note | None = None,
    ) -> Response:
        """Returns a page; it sets the visitor's cookie where it changed, and says what the last action did.

        Args:
            visit: Who asks.
            template: The page's template.
            context: What the template shows.
            status: The HTTP status.
            background: Runs when the page has been sent.
            note: Said on this page in place of what the last action did.
        """
        page = self._templates.get_template(template).render(
            t=visit.words,
            visit=visit,
            me=visit.preferences,
            shoppers=list(self.shoppers.values()),
            languages=LANGUAGES,
            themes=THEMES,
            note=_spell_note(note, visit) if note else _read_note(visit),
            **{"query": "", "panel": None, **(context or {})},
        )
        response = HTMLResponse(page, status, background=background)
        keep(response, visit, visit.preferences)
        if NOTE_COOKIE in visit.request.cookies:
            response.delete_cookie(NOTE_COOKIE)
        return response

    def fragment(self, visit: Visit, template: str, **context: Any) -> Response:
        """Returns a part of a page."""
        return HTMLResponse(self._templates.get_template(template).render(t=visit.words, **context))


def go(visit: Visit, path: str, preferences: Preferences, note: Note | None = None) -> Response:
    """Returns a redirection after an action, with what the next page says of it."""
    response = RedirectResponse(path, 303)
    keep(response, visit, preferences)
    if note:
        text = msgspec.json.encode(note).hex()
        response.set_cookie(NOTE_COOKIE, text, max_age=NOTE_SECONDS, httponly=True, samesite="lax")
    return response


def keep(response: Response, visit: Visit, preferences: Preferences) -> None:
    """Sets the cookie of a visitor where it changed: an answer that only shows something undoes nothing.

    Whoever follows a link from another site is still the same visitor, so that it is sent along (lax); a form of
    another site is not.
    """
    value = write_preferences(preferences)
    if value != visit.request.cookies.get(COOKIE):
        response.set_cookie(COOKIE, value, max_age=YEAR_SECONDS, httponly=True, samesite="lax")


def _spell_price(price: float, currency: str) -> str:
    return f"{currency}{price:,.2f}" if price == 0 or price >= LEAST_PRICE else f"< {currency}{LEAST_PRICE}"


def _read_note(visit: Visit) -> str:
    try:
        note = msgspec.json.decode(bytes.fromhex(visit.request.cookies.get(NOTE_COOKIE, "")), type=Note)
        return _spell_note(note, visit)
    except (ValueError, KeyError, msgspec.MsgspecError):
        return ""


def _spell_note(note: Note, visit: Visit) -> str:
    return visit.words(f"note.{note.key}", **{name: value[:MAX_NOTE_VALUE] for name, value in note.values.items()})
