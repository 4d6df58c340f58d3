"""How much each tenant may ask: requests in a time, counted over a sliding window."""

from __future__ import annotations

import re
import time

import limits
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import Request

from fuserank.errors import ConfigurationError, OverloadedError

_NAME = re.compile(r"[A-Za-z0-9-]+")
MAX_QUOTED = 80  # characters of a tenant's name


class RateLimit:
    """Refuses what a tenant asks beyond its rate. Each process of the REST API counts for itself.

    Args:
        rate: Such as `100/second` or `5000/minute`.
        header: The header that names the tenant, which a gateway sets; requests without it are one tenant together.

    Raises:
        ConfigurationError: Where the rate or the header's name is none.
    """

    def __init__(self, rate: str, header: str) -> None:
        try:
            self._rate = limits.parse(rate)
        except ValueError:
            raise ConfigurationError(f"--rate: found {rate!r}; allowed: such as 100/second or 5000/minute") from None
        if not self._rate.amount:
            raise ConfigurationError(f"--rate: found {rate!r}; allowed: one request or more")
        if not _NAME.fullmatch(header):
            raise ConfigurationError(f"--tenant-header: found {header!r}; allowed: letters, digits and hyphens")
        self._header = header
        self._counts = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def check(self, request: Request) -> None:
        """Counts a request.

        Raises:
            OverloadedError: Where its tenant has asked too much; with when to come again.
        """
        tenant = request.headers.get(self._header, "")
        if await self._counts.hit(self._rate, tenant):
            return
        reset = (await self._counts.get_window_stats(self._rate, tenant)).reset_time
        who = f"{self._header} {tenant[:MAX_QUOTED]!r}" if tenant else f"requests without {self._header}"
        error = OverloadedError(f"{who}: found more requests than allowed; allowed: {self._rate}")
        error.retry_after = max(reset - time.time(), 0.0)
        raise error
