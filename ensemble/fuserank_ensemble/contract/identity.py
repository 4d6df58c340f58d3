"""One spelling for each id, brand, category or filter value, shared by the export and by requests."""

from __future__ import annotations

import re
import unicodedata

from fuserank_ensemble.contract.errors import InvalidRequestError

HASHED = "hash:"  # begins the name of a user or a session in a bundle
HASHED_NAME = re.compile(rf"{HASHED}([0-9a-f]{{32}})")

# What no reader sees: byte-order marks, zero-width spaces, soft hyphens, marks of direction. Joiners (U+200C, U+200D)
# shape the letters of Persian and Hindi and make one emoji of several: there, between two such characters, they stay.
_JOINED = "[\u0600-\u1fff\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]"
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]"
    f"|(?<!{_JOINED})[\u200c\u200d]|[\u200c\u200d](?!{_JOINED})"
)
_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")


def clean_identity(text: str) -> str:
    """Returns text in Unicode's composed form (NFC), without invisible characters and without white space at its ends.

    Spaces of other widths become plain ones. Control characters inside stay: the caller decides what they mean.
    """
    if not text.isascii():
        text = _SPACE.sub(" ", _INVISIBLE.sub("", unicodedata.normalize("NFC", text)))
    return text.strip()


def refuse_hashed_name(field: str, identity: str) -> str:
    """Returns a user's or a session's id, unless it is the name that a bundle has for somebody.

    Raises:
        InvalidRequestError: Where it is one: whoever saw a bundle or a log could ask as anybody in it.
    """
    if HASHED_NAME.fullmatch(identity):
        allowed = f"the shop's own id; `{HASHED}` and 32 hexadecimal digits is how bundles and logs name people"
        raise InvalidRequestError(field, identity, allowed)
    return identity
