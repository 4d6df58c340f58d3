"""The entries of the log: what a shopper did, what was asked for a person, and what the shop changed of its items.

An entry is one of a tagged union of structs; another kind is one more struct in `Entry`, with a tag of its own.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from fuserank_ensemble.state.identity import Subject

EventKind = Literal[
    "view", "click", "cart", "purchase", "rating", "impression", "favourite", "share", "return", "dislike", "hide"
]
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)


class _Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """What all entries have.

    Attributes:
        event_id: Names the entry: the same one is kept once, however often it is sent.
    """

    event_id: str

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """The users and sessions whose entry it is, under each of which it can be read again."""
        return ()

    @property
    def waited_since(self) -> int | None:
        """The log's last position that was known when an entry that waited for it came; None of one that did not wait.

        Whoever was forgotten behind it stays so: such an entry is left out.
        """
        return None

    @property
    def digest(self) -> bytes:
        """The event's id as the log compares it, 16 bytes."""
        return blake2b(self.event_id.encode(), digest_size=16).digest()


class Interaction(_Entry, frozen=True, kw_only=True, omit_defaults=True, tag="interaction"):
    """Something that a shopper did with an item, or was shown.

    Attributes:
        item_id: The item, which need not be in the catalogue yet.
        event: What was done.
        timestamp: When, epoch seconds.
        user: Who, see `IdentityKey.user`; empty where nobody was logged in.
        session: In which session, see `IdentityKey.session`; empty where none is known.
        value: Of a rating; of other events whatever the shop counts.
        query: What had been asked.
        position: At which place of the list the item stood, from 1.
        propensity: With what probability it stood there, as the reply gave it.
        bundle: Which bundle had answered.
        arm: Which arm of an experiment had, as the reply named it.
        known: See `waited_since`.
    """

    item_id: str
    event: EventKind
    timestamp: float
    user: Subject = b""
    session: Subject = b""
    value: float | None = None
    query: str = ""
    position: int | None = None
    propensity: float | None = None
    bundle: str = ""
    arm: str = ""
    known: int | None = None

    @property
    def waited_since(self) -> int | None:
        """See `_Entry`."""
        return self.known

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """See `_Entry`."""
        return tuple(subject for subject in (self.user, self.session) if subject)


class Forget(_Entry, frozen=True, kw_only=True, omit_defaults=True, tag="forget"):
    """A person asked to be forgotten: what came before counts no more, in the log or in a bundle."""

    user: Subject

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """See `_Entry`."""
        return (self.user,)


class Merge(_Entry, frozen=True, kw_only=True, omit_defaults=True, tag="merge"):
    """An anonymous visitor logged in: what `source`, a session or a user, did so far is also the user's."""

    user: Subject
    source: Subject

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """See `_Entry`."""
        return (self.user,)


class Personalise(_Entry, frozen=True, kw_only=True, omit_defaults=True, tag="personalise"):
    """A user chose whether answers may be personal."""

    user: Subject
    allowed: bool

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """See `_Entry`."""
        return (self.user,)


class ShadowList(_Entry, frozen=True, kw_only=True, omit_defaults=True, tag="shadow"):
    """What another arm of an experiment would have shown.

    Attributes:
        user: Who asked; empty where nobody was logged in.
        session: In which session; empty where none is known.
        timestamp: When, epoch seconds.
        bundle: Which bundle answered.
        arm: The arm whose list was shown.
        shadow: The arm whose list was not.
        shown: Item ids of the list that was shown, best first.
        items: Item ids of the other.
        known: See `waited_since`.
    """

    user: Subject = b""
    session: Subject = b""
    timestamp: float
    bundle: str
    arm: str
    shadow: str
    shown: list[str]
    items: list[str]
    known: int | None = None

    @property
    def waited_since(self) -> int | None:
        """See `_Entry`."""
        return self.known

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """See `_Entry`."""
        return tuple(subject for subject in (self.user, self.session) if subject)


class FeatureSample(_Entry, frozen=True, kw_only=True, omit_defaults=True, tag="features"):
    """What the ranker read of the items that a request was shown, and all that it follows from.

    Attributes:
        user: Who asked; empty where nobody was logged in.
        session: In which session; empty where none is known.
        timestamp: The request's own time, epoch seconds.
        bundle: Which bundle answered.
        query: What was asked.
        options: `OPTIONS` of the request as they were answered, a JSON object that names the session by hash.
        position: Up to where the log counted for who asked.
        catalog: The newest change of the catalogue that counted.
        popularity: Up to where all users' events counted.
        first_users: Up to where it counted who had new items.
        embedding: Of the query, float32 `[dim]` as bytes: in another batch it may be rounded otherwise.
        items: The item ids, best first.
        features: What the ranker read of each, float32 `[items, features]` as bytes.
        texts: Row of each item's text vector, int32 `[items]` as bytes; behind the bundle's vectors those of texts that
            are newer. Empty, as the next two, in what an older version wrote.
        events: Rows of the text vectors of the user's latest items, newest first, int32 `[events]` as bytes.
        moments: When and how often those were had, float32 `[events, 3]` as bytes.
    """

    user: Subject = b""
    session: Subject = b""
    timestamp: float
    bundle: str
    query: str = ""
    options: str
    position: int
    catalog: int
    popularity: int
    first_users: int
    embedding: bytes
    items: list[str]
    features: bytes
    texts: bytes = b""
    events: bytes = b""
    moments: bytes = b""

    @property
    def waited_since(self) -> int | None:
        """See `_Entry`."""
        return self.position

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """See `_Entry`."""
        return tuple(subject for subject in (self.user, self.session) if subject)


class _ItemEntry(_Entry, frozen=True, kw_only=True, omit_defaults=True):
    """What the shop says of one of its items.

    Attributes:
        item_id: The item.
    """

    item_id: str

    @property
    def digest(self) -> bytes:
        """See `_Entry`. A shop numbers its changes and its events each for itself."""
        return blake2b(self.event_id.encode(), digest_size=16, person=b"catalog").digest()


class ItemChange(_ItemEntry, frozen=True, kw_only=True, omit_defaults=True, tag="item_change"):
    """An item has other values in some of its fields, or is new; one that was deleted is back.

    Attributes:
        fields: The new values by field; None where there is none any more.
        vector: Of the item's text where that is another one now, L2-normalised, fp16 `[dim]` as bytes: it is embedded
            once, and the same in every process. Empty where the text stays.
        encoder: What made the vector, see `Bundle.encoder_id`; empty without one.
        changed_at: When the shop said so, epoch seconds.
    """

    fields: dict[str, Any] = {}
    vector: bytes = b""
    encoder: str = ""
    changed_at: float = 0.0


class ItemDelete(_ItemEntry, frozen=True, kw_only=True, omit_defaults=True, tag="item_delete"):
    """An item is never shown again, until it is changed."""


# What a person asked for. The latest of each kind is kept when the log is trimmed: it holds for every later bundle.
Wish = Forget | Personalise
Entry = Interaction | ShadowList | FeatureSample | Forget | Merge | Personalise | ItemChange | ItemDelete
# What people did and were shown, which a time to live removes.
Passing = Interaction | ShadowList | FeatureSample


class Unreadable(_Entry, frozen=True, kw_only=True, tag="unreadable"):
    """Stands for an entry that this version cannot read: a newer one wrote it."""


class Logged(NamedTuple):
    """An entry with its place in the log."""

    position: int
    entry: Entry | Unreadable


encode_entry = msgspec.msgpack.Encoder().encode
_DECODER = msgspec.msgpack.Decoder(Entry)
_UNREADABLE = Unreadable(event_id="")


def decode_entry(encoded: bytes) -> Entry | Unreadable:
    """Reads what `encode_entry` wrote; what it cannot read is `Unreadable`, so that the entries behind it are read."""
    try:
        entry: Entry = _DECODER.decode(encoded)
    except msgspec.DecodeError:
        return _UNREADABLE
    return entry
