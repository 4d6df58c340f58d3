"""The log in Redis: one stream, beside it the events' ids and each subject's positions, changed together by scripts.

All keys share a hash tag, so that a cluster keeps them on one node. An entry survives the end of Redis as far as its
append-only file does: run it with `appendonly yes`, and with `appendfsync always` where the machine itself may fail.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from fuserank_ensemble.state.entries import (
    Entry,
    Forget,
    Logged,
    Passing,
    Personalise,
    Wish,
    decode_entry,
    encode_entry,
)
from fuserank_ensemble.state.identity import Subject
from fuserank_ensemble.state.log import KEEP_SECONDS, Appended, StateError, StateUnavailableError

CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 2.0  # longer than a reader's wait, which Redis answers only at its end
LONGEST_WAIT = 1.0
RETRIES = 2
TRIM_BATCH = 1_000
DEFAULT_NAME = "fuserank"
_LOG = logging.getLogger("fuserank")

# KEYS: log, event ids, meta, wishes, then those of subjects. ARGV: for each entry its digest, its bytes, its name among
# the wishes (empty for what is none), since which position it waited (-1 for what did not), how many subjects it has,
# and which of KEYS these are. Answers with two numbers an entry: position, and 1 for a duplicate, 2 for one of who was
# forgotten while it waited. The time is Redis' own: those of the machines that write may differ.
_APPEND = """
local function is_forgotten(first, last, since)
  for i = first, last do
    local wish = redis.call('HGET', KEYS[4], string.sub(KEYS[tonumber(ARGV[i])], -32) .. ':Forget')
    if wish and tonumber(string.match(wish, '^%d+')) > since then
      return true
    end
  end
  return false
end
local answers, at, now = {}, 1, redis.call('TIME')[1]
while at <= #ARGV do
  local digest, wish, since, subjects = ARGV[at], ARGV[at + 2], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local position = redis.call('ZSCORE', KEYS[2], digest)
  if position then
    answers[#answers + 1], answers[#answers + 2] = tonumber(position), 1
  elseif since >= 0 and is_forgotten(at + 5, at + 4 + subjects, since) then
    answers[#answers + 1], answers[#answers + 2] = 0, 2
  else
    position = redis.call('HINCRBY', KEYS[3], 'position', 1)
    redis.call('XADD', KEYS[1], string.format('%d-0', position), 'e', ARGV[at + 1], 't', now)
    redis.call('ZADD', KEYS[2], position, digest)
    for i = 1, subjects do
      redis.call('RPUSH', KEYS[tonumber(ARGV[at + 4 + i])], position)
    end
    if wish ~= '' then
      redis.call('HSET', KEYS[4], wish, string.format('%d:', position) .. ARGV[at + 1])
    end
    answers[#answers + 1], answers[#answers + 2] = position, 0
  end
  at = at + 5 + subjects
end
return answers
"""
# KEYS: meta. ARGV: a position.
_ADVANCE = """
if tonumber(redis.call('HGET', KEYS[1], 'position') or '0') < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'position', ARGV[1])
end
"""


class RedisLog:
    """An `EventLog` in Redis. Threads may share one."""

    tells_of_news = True

    def __init__(self, url: str) -> None:
        """Connects; the server need not answer yet.

        Args:
            url: `redis://` or `rediss://` with host, port and database; `?name=…` tells logs of one server apart.

        Raises:
            StateError: Where the address cannot be read.
        """
        parts = urlsplit(url)
        options = parse_qs(parts.query)
        name = options.pop("name", [DEFAULT_NAME])[0]
        if options or not name.replace("-", "").replace("_", "").isalnum():
            found = f"the option {min(options)!r}" if options else f"the name {name!r}"
            raise StateError(
                f"state {_without_password(url)}: found {found}; allowed: redis://host:port/database?name=letters-digits"
            )
        # One slot of a cluster for all keys: a script may touch no others.
        self._prefix = f"fuserank:{{{name}}}:"
        names = ("log", "ids", "meta", "wishes")
        self._log, self._ids, self._meta, self._wishes = (self._prefix + name for name in names)
        self._place = _without_password(url)
        try:
            self._redis = Redis.from_url(
                urlunsplit(parts._replace(query="")),
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=ANSWER_SECONDS,
                socket_keepalive=True,
                health_check_interval=10,
                retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), RETRIES),
                retry_on_error=[RedisConnectionError, RedisTimeoutError],
            )
        except ValueError as error:
            raise StateError(f"state {self._place}: {error}") from None
        self._append = self._redis.register_script(_APPEND)
        self._advance = self._redis.register_script(_ADVANCE)
        self._known_id = ""

    @property
    def id(self) -> str:
        """See `EventLog`."""
        if not self._known_id:
            self._known_id = self.setting("id", uuid.uuid4().hex)
            self._warn_of_losses()
        return self._known_id

    def append(self, entries: Sequence[Entry]) -> list[Appended]:
        """See `EventLog`."""
        keys = [self._log, self._ids, self._meta, self._wishes]
        places: dict[Subject, int] = {}
        arguments: list[Any] = []
        for entry in entries:
            for subject in entry.subjects:
                if subject not in places:
                    keys.append(self._subject(subject))
                    places[subject] = len(keys)
            of_entry = [places[subject] for subject in entry.subjects]
            wish = _wish_name(entry.user, type(entry)) if isinstance(entry, Wish) else ""
            since = -1 if entry.waited_since is None else entry.waited_since
            arguments += [entry.digest, encode_entry(entry), wish, since, len(of_entry), *of_entry]
        if not entries:
            return []
        with self._translated():
            answers = self._append(keys, arguments)
        return [Appended(int(p), d == 1, d == 2) for p, d in zip(answers[::2], answers[1::2], strict=True)]

    def read(self, after: int, limit: int, wait: float = 0.0) -> list[Logged]:
        """See `EventLog`."""
        block = int(min(wait, LONGEST_WAIT) * 1_000) or None
        with self._translated():
            # A stream that is not there yet answers as an empty one does.
            found: Any = self._redis.xread({self._log: f"{after}-0"}, count=limit, block=block)
        return [_logged(*entry) for entry in found[0][1]] if found else []

    def read_subject(self, subject: Subject, upto: int | None = None) -> list[Logged]:
        """See `EventLog`."""
        with self._translated():
            positions = self._positions(subject)
            kept = [position for position in positions if upto is None or position <= upto]
            return [logged for logged in self._entries(kept) if logged]

    def wishes(self, subject: Subject | None = None) -> list[Logged]:
        """See `EventLog`."""
        with self._translated():
            found: Any
            if subject is None:
                found = self._redis.hvals(self._wishes)
            else:
                found = self._redis.hmget(self._wishes, [_wish_name(subject, kind) for kind in (Forget, Personalise)])
        kept = (value.partition(b":") for value in found if value)
        wishes = [Logged(int(position), decode_entry(entry)) for position, _, entry in kept]
        return sorted(wishes, key=attrgetter("position"))

    def last_position(self) -> int:
        """See `EventLog`."""
        return self._number("position")

    def trimmed_position(self) -> int:
        """See `EventLog`."""
        return self._number("trimmed")

    def trim(self, position: int, keep_seconds: float = KEEP_SECONDS) -> int:
        """See `EventLog`."""
        removed, oldest = 0, self._now() - keep_seconds
        while True:
            with self._translated():
                found: Any = self._redis.xrange(self._log, "-", f"{position}-0", count=TRIM_BATCH)
                old = [entry for entry in found if float(entry[1][b"t"]) <= oldest]
                if not old:
                    return removed
                batch = [_logged(*entry) for entry in old]
                cut = batch[-1].position
                pipe = self._redis.pipeline(transaction=True)
                for logged in batch:
                    for subject in logged.entry.subjects:
                        pipe.lrem(self._subject(subject), 1, str(logged.position))
                pipe.zremrangebyscore(self._ids, "-inf", cut)
                pipe.xtrim(self._log, minid=f"{cut + 1}-0", approximate=False)
                pipe.hset(self._meta, "trimmed", str(cut))
                pipe.execute()
            removed += len(batch)
            if len(old) < len(found) or len(found) < TRIM_BATCH:
                return removed

    def expire(self, seconds: float) -> int:
        """See `EventLog`. Redis lets go of the bytes with the block of the stream that they are in."""
        removed, begin, oldest = 0, "-", self._now() - seconds
        while True:
            with self._translated():
                found: Any = self._redis.xrange(self._log, begin, "+", count=TRIM_BATCH)
                old = [_logged(*entry) for entry in found if float(entry[1][b"t"]) <= oldest]
                expired = [logged for logged in old if isinstance(logged.entry, Passing)]
                pipe = self._redis.pipeline(transaction=True)
                for logged in expired:
                    pipe.xdel(self._log, f"{logged.position}-0")
                    pipe.zrem(self._ids, logged.entry.digest)
                    for subject in logged.entry.subjects:
                        pipe.lrem(self._subject(subject), 1, str(logged.position))
                pipe.execute()
            removed += len(expired)
            if len(old) < TRIM_BATCH:
                return removed
            begin = f"({old[-1].position}-0"

    def size(self) -> int:
        """See `EventLog`."""
        with self._translated():
            return int(self._redis.xlen(self._log))

    def erase(self, subject: Subject, before: int) -> int:
        """See `EventLog`. Redis lets go of the bytes with the block of the stream that they are in."""
        with self._translated():
            positions = [position for position in self._positions(subject) if position < before]
            held = [logged for logged in self._entries(positions) if logged]
            pipe = self._redis.pipeline(transaction=True)
            for logged in held:
                pipe.xdel(self._log, f"{logged.position}-0")
                for other in logged.entry.subjects:
                    pipe.lrem(self._subject(other), 0, str(logged.position))
            pipe.execute()
        return len(held)

    def advance(self, position: int) -> None:
        """See `EventLog`."""
        with self._translated():
            self._advance([self._meta], [position])

    def setting(self, name: str, default: str = "") -> str:
        """See `EventLog`."""
        with self._translated():
            if default:
                self._redis.hsetnx(self._meta, f"setting:{name}", default)
            found: Any = self._redis.hget(self._meta, f"setting:{name}")
        return str(found.decode()) if found is not None else ""

    def close(self) -> None:
        """See `EventLog`."""
        self._redis.close()

    def _subject(self, subject: Subject) -> str:
        return f"{self._prefix}of:{subject.hex()}"

    def _positions(self, subject: Subject) -> list[int]:
        found: Any = self._redis.lrange(self._subject(subject), 0, -1)
        return [int(position) for position in found]

    def _entries(self, positions: Sequence[int]) -> Iterator[Logged | None]:
        pipe = self._redis.pipeline(transaction=False)
        for position in positions:
            pipe.xrange(self._log, f"{position}-0", f"{position}-0")
        for found in pipe.execute():
            yield _logged(*found[0]) if found else None

    def _now(self) -> float:
        """The time of Redis, epoch seconds: that of the entries, whatever this machine's clock says."""
        with self._translated():
            seconds: Any = self._redis.time()
        return float(seconds[0])

    def _number(self, name: str) -> int:
        with self._translated():
            found: Any = self._redis.hget(self._meta, name)
        return int(found or 0)

    def _warn_of_losses(self) -> None:
        """Says so where this Redis may lose what it has acknowledged; one that tells nobody is trusted."""
        try:
            settings: Any = self._redis.config_get("appendonly", "maxmemory-policy")
        except RedisError:
            return
        if settings.get("appendonly") == "no":
            _LOG.warning("the state's Redis runs without appendonly: a restart loses events that were acknowledged")
        if settings.get("maxmemory-policy", "noeviction") != "noeviction":
            _LOG.warning("the state's Redis may evict: set maxmemory-policy noeviction, or events are lost")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            raise StateUnavailableError(f"the event log {self._place} does not take calls: {error}") from error


def _wish_name(subject: Subject, kind: type[Entry]) -> str:
    return f"{subject.hex()}:{kind.__name__}"


def _logged(place: bytes, fields: dict[bytes, bytes]) -> Logged:
    return Logged(int(place.partition(b"-")[0]), decode_entry(fields[b"e"]))


def _without_password(url: str) -> str:
    """The address as it may stand in messages."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
