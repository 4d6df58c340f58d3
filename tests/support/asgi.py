"""One request to an ASGI application without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def cookies(self) -> dict[str, Any]:
        """The cookies that it sets, each with its attributes."""
        set_cookies = [SimpleCookie(value) for name, value in self.headers if name == "set-cookie"]
        return {name: morsel for cookie in set_cookies for name, morsel in cookie.items()}

    @property
    def text(self) -> str:
        return self.body.decode()


def send(app: Any, method: str, path: str, content: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """Sends one request, and waits for what the application does after its answer, too."""
    path, _, query = path.partition("?")
    given = {"host": "127.0.0.1:2", **(headers or {})}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "scheme": "http",
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": content, "more_body": False}

    async def keep(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, keep))
    named = [(name.decode().lower(), value.decode()) for name, value in sent[0]["headers"]]
    return Answer(sent[0]["status"], named, b"".join(message.get("body", b"") for message in sent[1:]))
