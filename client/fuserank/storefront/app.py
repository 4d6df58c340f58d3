"""The shop as a Starlette application."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fuserank.aio import AsyncClient
from fuserank.errors import DeadlineExceededError, FuseRankError, OverloadedError, ServerUnavailableError
from fuserank.storefront.actions import Actions
from fuserank.storefront.pages import Pages
from fuserank.storefront.shop import Shop
from fuserank.storefront.shoppers import Shopper
from fuserank.storefront.visit import Renderer

STATIC = Path(__file__).with_name("static")
DEFAULT_HOSTS = ("127.0.0.1", "localhost")
DEFAULT_TIMEOUT = 5.0  # seconds, then a page says that the shop takes a break
RETRIES = 1  # a visitor would not wait for more
MIN_COMPRESSED = 1_000


@dataclass(frozen=True)
class ShopSettings:
    """What the shop is started with.

    Attributes:
        shoppers: Users of the log that a visitor may play.
        facets: Fields that lists can be narrowed by; by default those of category, brand and price that there are.
        currency: Stands before prices.
        images: The origin that the catalogue's photographs come from, such as `https://cdn.example`; none are shown
            where it is empty.
        hosts: Names that the page may be asked for by; `*` for any.
    """

    shoppers: Sequence[Shopper] = ()
    facets: Sequence[str] = ()
    currency: str = "$"
    images: str = ""
    hosts: Sequence[str] = DEFAULT_HOSTS


def create_app(client: AsyncClient, settings: ShopSettings) -> Starlette:
    """Returns the application; it closes the client at its end.

    Args:
        client: Its calls go to the server.
        settings: What the shop is started with.
    """
    shop = Shop(client, settings.facets, images=bool(settings.images))
    static = f"/static/{_digest(STATIC)}"
    templates = Environment(
        loader=PackageLoader("fuserank.storefront"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    renderer = Renderer(templates, settings.shoppers, static, settings.currency)
    pages, actions = Pages(shop, renderer), Actions(shop, renderer)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await client.close()

    silent = (ServerUnavailableError, OverloadedError, DeadlineExceededError)
    unavailable: dict[Any, Any] = dict.fromkeys(silent, pages.show_break)
    return Starlette(
        routes=[
            Route("/", pages.show_home),
            Route("/search", pages.show_results),
            Route("/item/{item_id:path}", pages.show_item),
            Route("/basket", pages.show_basket),
            Route("/compare", pages.show_comparison),
            Route("/suggest", pages.list_suggestions),
            Route("/ready", pages.say_ready),
            Route("/events", actions.record, methods=["POST"]),
            Route("/checkout", actions.check_out, methods=["POST"]),
            Route("/preferences", actions.change_preferences, methods=["POST"]),
            Mount(static, StaticFiles(directory=STATIC), name="static"),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(settings.hosts)),
            Middleware(ResponseHeaders, static=static, images=settings.images),
            Middleware(GZipMiddleware, minimum_size=MIN_COMPRESSED),
        ],
        exception_handlers={404: pages.show_missing, **unavailable, FuseRankError: pages.show_problem},
        lifespan=lifespan,
    )


class ResponseHeaders:
    """Adds the headers that keep a page to its own host, and those that let a browser keep what does not change."""

    def __init__(self, app: ASGIApp, static: str, images: str) -> None:
        self._app = app
        self._static = static
        self._policy = (
            f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' {images}; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self._policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                kept = scope["path"].startswith(self._static)
                headers["Cache-Control"] = "public, max-age=31536000, immutable" if kept else "no-store"
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _digest(folder: Path) -> str:
    """Returns a name for the contents of a folder: another one where a file changes."""
    contents = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        contents.update(path.read_bytes())
    return contents.hexdigest()[:12]
