"""The shoppers that a visitor may play, read from a file that `fuserank export shoppers` writes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fuserank.errors import ConfigurationError


class Shopper(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user of the shop's log.

    Attributes:
        user_id: The user's id.
        events: How many events the log has of the user.
        habits: Categories of which the user has more than others, the most marked first.
    """

    user_id: str
    events: int
    habits: tuple[str, ...] = ()


def read_shoppers(path: Path | None) -> tuple[Shopper, ...]:
    """Returns the shoppers of a file; none where no file is named.

    Raises:
        ConfigurationError: Where it cannot be read.
    """
    if path is None:
        return ()
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Shopper, ...])
    except (OSError, msgspec.MsgspecError) as error:
        allowed = "a file that `fuserank export shoppers` wrote"
        raise ConfigurationError(f"--shoppers: found {path} ({error}); allowed: {allowed}") from None
