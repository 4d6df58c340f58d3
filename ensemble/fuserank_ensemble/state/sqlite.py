"""The log in one SQLite file: several processes of one machine append to it and read it.

In WAL mode readers never wait for the writer. A commit is on the disk before `append` returns, but not before the next
writer may begin: the disk is waited for beside it, and what several wrote meanwhile reaches it together.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fuserank_ensemble.state.checkpoints import Checkpoints
from fuserank_ensemble.state.entries import Entry, Forget, Logged, Passing, Wish, decode_entry, encode_entry
from fuserank_ensemble.state.identity import Subject
from fuserank_ensemble.state.log import KEEP_SECONDS, Appended, StateError, StateUnavailableError

BUSY_SECONDS = 5.0  # how long a writer waits for another
# The first and the longest pause before a writer tries again; SQLite's own are 1 to 100 ms, longer than a commit.
TRY_AGAIN_SECONDS = (0.0002, 0.01)
EXPIRY_BATCH = 1_000  # entries of one transaction: writers wait for its end
_SCHEMA = """
CREATE TABLE IF NOT EXISTS
  entries(position INTEGER PRIMARY KEY AUTOINCREMENT, added REAL NOT NULL, entry BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS event_ids(digest BLOB PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subjects(subject BLOB, position INTEGER, PRIMARY KEY(subject, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS
  wishes(subject BLOB, kind TEXT, position INTEGER, entry BLOB, PRIMARY KEY(subject, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settings(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
# How many entries there are: counting them takes long. A log of before is counted once.
_COUNTED = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS held(entries INTEGER NOT NULL);
INSERT INTO held SELECT (SELECT count(*) FROM entries) WHERE NOT EXISTS (SELECT 1 FROM held);
CREATE TRIGGER IF NOT EXISTS count_added AFTER INSERT ON entries BEGIN UPDATE held SET entries = entries + 1; END;
CREATE TRIGGER IF NOT EXISTS count_removed AFTER DELETE ON entries BEGIN UPDATE held SET entries = entries - 1; END;
COMMIT;
"""
_HAS_COUNT = "SELECT 1 FROM sqlite_master WHERE name = 'count_removed'"
_LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'entries'"


class SqliteLog:
    """An `EventLog` in a file. Threads may share one: each has a connection of its own."""

    tells_of_news = False

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it.

        Raises:
            StateError: Where it cannot be made, or is no log.
        """
        self._path = path
        self._threads = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._lost = ""  # why the disk did not take something: from then on nothing more is taken
        self._ahead: int | None = None  # the descriptor of what is written ahead, by which the disk is waited for
        self._checkpoints = Checkpoints(self._connect)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._translated():
                connection = self._connection()
                connection.executescript(_SCHEMA)
                if connection.execute(_HAS_COUNT).fetchone() is None:
                    connection.executescript(_COUNTED)
        except (OSError, StateUnavailableError) as error:
            self.close()
            raise StateError(f"state sqlite:{path}: {error}; choose a file in a folder that can be written") from None
        self.id = self.setting("id", uuid.uuid4().hex)

    def append(self, entries: Sequence[Entry]) -> list[Appended]:
        """See `EventLog`."""
        encoded = [(entry.digest, encode_entry(entry), entry) for entry in entries]
        with self._writing() as connection:
            last, now = self._last(connection), self._now(connection)
            positions: dict[bytes, int] = {}
            answers: list[Appended] = []
            added: list[tuple[int, float, bytes]] = []
            subjects: list[tuple[Subject, int]] = []
            wishes: list[tuple[Subject, str, int, bytes]] = []
            for digest, stored, entry in encoded:
                known = positions.get(digest)
                if known is None:
                    found = connection.execute("SELECT position FROM event_ids WHERE digest = ?", (digest,)).fetchone()
                    known = None if found is None else int(found[0])
                if known is not None:
                    answers.append(Appended(known, True))
                    continue
                if _is_forgotten(connection, entry):
                    answers.append(Appended(0, False, forgotten=True))
                    continue
                last += 1
                positions[digest] = last
                answers.append(Appended(last, False))
                added.append((last, now, stored))
                subjects += [(subject, last) for subject in entry.subjects]
                if isinstance(entry, Wish):
                    wishes.append((entry.user, type(entry).__name__, last, stored))
            connection.executemany("INSERT INTO entries(position, added, entry) VALUES (?, ?, ?)", added)
            connection.executemany("INSERT INTO event_ids VALUES (?, ?)", positions.items())
            connection.executemany("INSERT INTO subjects VALUES (?, ?)", subjects)
            connection.executemany("INSERT OR REPLACE INTO wishes VALUES (?, ?, ?, ?)", wishes)
        return answers

    def read(self, after: int, limit: int, wait: float = 0.0) -> list[Logged]:
        """See `EventLog`."""
        del wait
        with self._translated():
            connection = self._connection()
            # Looking whether anybody has committed since takes half as long as looking for entries.
            known = (after, connection.total_changes, _version(connection))
            if known == getattr(self._threads, "nothing_behind", None):
                return []
            logged = _decoded(
                connection.execute(
                    "SELECT position, entry FROM entries WHERE position > ? ORDER BY position LIMIT ?", (after, limit)
                )
            )
            self._threads.nothing_behind = None if logged else known
            return logged

    def read_subject(self, subject: Subject, upto: int | None = None) -> list[Logged]:
        """See `EventLog`."""
        with self._translated():
            return _decoded(
                self._connection().execute(
                    "SELECT position, entry FROM subjects JOIN entries USING (position) "
                    "WHERE subject = ? AND position <= ? ORDER BY position",
                    (subject, 2**62 if upto is None else upto),
                )
            )

    def wishes(self, subject: Subject | None = None) -> list[Logged]:
        """See `EventLog`."""
        of_all = "SELECT position, entry FROM wishes ORDER BY position"
        of_one = "SELECT position, entry FROM wishes WHERE subject = ? ORDER BY position"
        with self._translated():
            connection = self._connection()
            return _decoded(connection.execute(of_all) if subject is None else connection.execute(of_one, (subject,)))

    def last_position(self) -> int:
        """See `EventLog`."""
        with self._translated():
            return self._last(self._connection())

    def trimmed_position(self) -> int:
        """See `EventLog`."""
        with self._translated():
            found = self._connection().execute("SELECT value FROM settings WHERE name = 'trimmed'").fetchone()
            return int(found[0]) if found else 0

    def trim(self, position: int, keep_seconds: float = KEEP_SECONDS) -> int:
        """See `EventLog`. The bytes are overwritten in the file, too."""
        with self._writing() as connection:
            old = "SELECT max(position) FROM entries WHERE position <= ? AND added <= ?"
            (cut,) = connection.execute(old, (position, time.time() - keep_seconds)).fetchone()
            if cut is None:
                return 0
            removed = connection.execute("DELETE FROM entries WHERE position <= ?", (cut,)).rowcount
            connection.execute("DELETE FROM event_ids WHERE position <= ?", (cut,))
            connection.execute("DELETE FROM subjects WHERE position <= ?", (cut,))
            connection.execute("INSERT OR REPLACE INTO settings VALUES ('trimmed', ?)", (str(cut),))
        self._empty_ahead()
        return removed

    def expire(self, seconds: float) -> int:
        """See `EventLog`. The bytes are overwritten in the file, too."""
        removed, after, oldest = 0, 0, time.time() - seconds
        old = "SELECT position, entry FROM entries WHERE position > ? AND added <= ? ORDER BY position LIMIT ?"
        while True:
            with self._writing() as connection:
                batch = _decoded(connection.execute(old, (after, oldest, EXPIRY_BATCH)))
                expired = [logged for logged in batch if isinstance(logged.entry, Passing)]
                positions = [(logged.position,) for logged in expired]
                subjects = [(subject, logged.position) for logged in expired for subject in logged.entry.subjects]
                connection.executemany("DELETE FROM entries WHERE position = ?", positions)
                connection.executemany("DELETE FROM subjects WHERE subject = ? AND position = ?", subjects)
                digests = [(logged.entry.digest,) for logged in expired]
                connection.executemany("DELETE FROM event_ids WHERE digest = ?", digests)
            removed += len(expired)
            if len(batch) < EXPIRY_BATCH:
                if removed:
                    self._empty_ahead()
                return removed
            after = batch[-1].position

    def size(self) -> int:
        """See `EventLog`."""
        with self._translated():
            return int(self._connection().execute("SELECT entries FROM held").fetchone()[0])

    def erase(self, subject: Subject, before: int) -> int:
        """See `EventLog`. The bytes are overwritten in the file, too."""
        with self._writing() as connection:
            of_subject = "SELECT position FROM subjects WHERE subject = ? AND position < ?"
            positions = connection.execute(of_subject, (subject, before)).fetchall()
            held = connection.execute(
                "SELECT entry FROM subjects JOIN entries USING (position) WHERE subject = ? AND position < ?",
                (subject, before),
            ).fetchall()
            others = {other for (entry,) in held for other in decode_entry(entry).subjects}
            connection.executemany("DELETE FROM entries WHERE position = ?", positions)
            keys = [(other, position) for other in others for (position,) in positions]
            connection.executemany("DELETE FROM subjects WHERE subject = ? AND position = ?", keys)
        self._empty_ahead()
        return len(positions)

    def advance(self, position: int) -> None:
        """See `EventLog`."""
        with self._writing() as connection:
            if self._last(connection) < position:
                connection.execute("DELETE FROM sqlite_sequence WHERE name = 'entries'")
                connection.execute("INSERT INTO sqlite_sequence VALUES ('entries', ?)", (position,))

    def setting(self, name: str, default: str = "") -> str:
        """See `EventLog`."""
        find = "SELECT value FROM settings WHERE name = ?"
        with self._translated():
            found = self._connection().execute(find, (name,)).fetchone()
        if found is None and default:
            with self._writing() as connection:
                connection.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (name, default))
                found = connection.execute(find, (name,)).fetchone()
        return str(found[0]) if found is not None else ""

    def close(self) -> None:
        """See `EventLog`."""
        self._checkpoints.stop()
        with self._lock:
            while self._connections:
                self._connections.pop().close()
            if self._ahead is not None:
                os.close(self._ahead)
                self._ahead = None
        self._threads = threading.local()

    def _empty_ahead(self) -> None:
        with self._translated():
            self._checkpoints.empty(self._connection())

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._connect()
            self._threads.connection = connection
            with self._lock:
                self._connections.append(connection)
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            # Otherwise SQLite waits for the disk while it holds the only writer's place; see `_reach_disk`. It does so
            # before a checkpoint, which neither needs.
            self._waits_itself = mode == "wal"
            connection.execute(f"PRAGMA synchronous = {'NORMAL' if self._waits_itself else 'FULL'}")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the only writer's place; a failure leaves nothing of it, but for one of the disk.

        After that nothing more is taken: the system tells of a failed write once, and to wait for the disk again would
        say nothing of what was lost.
        """
        if self._lost:
            raise StateUnavailableError(self._lost)
        with self._translated():
            connection = self._connection()
            _begin(connection)
            try:
                yield connection
                connection.execute("COMMIT")
                self._checkpoints.note_write()
                self._reach_disk()
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _reach_disk(self) -> None:
        """Waits until all commits so far are on the disk.

        Raises:
            StateUnavailableError: Where that cannot be said.
        """
        if not self._waits_itself:
            return
        try:
            with self._lock:
                if self._ahead is None:  # it lies there as long as a connection is open
                    self._ahead = os.open(f"{self._path}-wal", os.O_RDWR)
            os.fdatasync(self._ahead)
        except OSError as error:
            self._lost = f"the event log {self._path} may not be on the disk: {error}; mend the disk, and start again"
            raise StateUnavailableError(self._lost) from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StateUnavailableError(f"the event log {self._path} cannot be used: {error}") from error

    @staticmethod
    def _now(connection: sqlite3.Connection) -> float:
        """The time, never earlier than that of the newest entry: a clock that is set back makes none look old."""
        newest = connection.execute("SELECT added FROM entries ORDER BY position DESC LIMIT 1").fetchone()
        return max(time.time(), newest[0]) if newest else time.time()

    @staticmethod
    def _last(connection: sqlite3.Connection) -> int:
        found = connection.execute(_LAST).fetchone()
        return int(found[0]) if found else 0


def _version(connection: sqlite3.Connection) -> int:
    """A number that changes when another connection has committed."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _begin(connection: sqlite3.Connection) -> None:
    """Takes the only writer's place as soon as it is free.

    Raises:
        sqlite3.OperationalError: Where it is not within `BUSY_SECONDS`.
    """
    deadline, (pause, longest) = time.monotonic() + BUSY_SECONDS, TRY_AGAIN_SECONDS
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(pause)
            pause = min(1.2 * pause, longest)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1_000:.0f}")


def _is_forgotten(connection: sqlite3.Connection, entry: Entry) -> bool:
    """Whether somebody whose entry it is was forgotten while it waited."""
    since = entry.waited_since
    if since is None:
        return False
    find = "SELECT 1 FROM wishes WHERE subject = ? AND kind = ? AND position > ?"
    return any(connection.execute(find, (who, Forget.__name__, since)).fetchone() for who in entry.subjects)


def _decoded(rows: sqlite3.Cursor) -> list[Logged]:
    return [Logged(position, decode_entry(entry)) for position, entry in rows]
