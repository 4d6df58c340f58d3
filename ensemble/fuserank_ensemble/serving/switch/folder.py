"""The folder by which a server's processes and the commands `promote` and `rollback` agree on the served bundle.

It is the server's owner's alone: whoever may write it may have the server load files. Each file in it is replaced
whole, so that a reader sees all of it or none.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

FOLDER = "FUSERANK_SWITCH"  # the environment's name of it, for the server's processes
PRIVATE = 0o700


class SwitchError(RuntimeError):
    """The served bundle stays as it is; the message says why and what to do."""


class BundlePlace(msgspec.Struct, frozen=True):
    """A bundle and where it lies."""

    id: str
    folder: str


class Wanted(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the server's processes are to do.

    Attributes:
        held: The bundles that they hold open.
        active: The id of the one that answers.
        previous: What a rollback goes back to; None where there is nothing.
    """

    held: tuple[BundlePlace, ...]
    active: str
    previous: BundlePlace | None = None

    @property
    def served(self) -> BundlePlace:
        """The bundle that answers."""
        return next(place for place in self.held if place.id == self.active)


class ServerNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the commands need to know of the server.

    Attributes:
        target: How it runs the graph.
        state: The environment's variables that say where events are kept; none where none are.
        remembered: A file that keeps what was promoted for the server's next start; empty where there is none.
        arms: Ids of the bundles of an experiment's arms, which are answered beside the served one.
        trusted_key: The file of the public keys of which one must have signed a bundle; empty where any is taken.
    """

    target: str
    state: Mapping[str, str] = {}
    remembered: str = ""
    arms: tuple[str, ...] = ()
    trusted_key: str = ""


class Member(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one process of the server has done.

    Attributes:
        name: Its model.
        pid: Its process.
        held: Ids of the bundles that it holds open.
        active: The id of the one that answers.
        failed: Why it could not open a bundle, by id.
    """

    name: str
    pid: int
    held: tuple[str, ...]
    active: str
    failed: dict[str, str] = {}


class SwitchFolder:
    """Reads and writes the folder."""

    def __init__(self, path: Path) -> None:
        """Takes the folder, which need not be there."""
        self.path = path
        self._wanted = path / "wanted.json"

    @classmethod
    def of_port(cls, grpc_port: int) -> SwitchFolder:
        """Returns the folder of this user's server that listens on a port of this machine."""
        return cls(Path(tempfile.gettempdir()) / f"fuserank-{os.getuid()}" / str(grpc_port))

    @classmethod
    def from_environment(cls) -> SwitchFolder | None:
        """Returns the folder of the server that started this process; None where it cannot be switched."""
        return cls(Path(os.environ[FOLDER])) if os.environ.get(FOLDER) else None

    def create(self, served: BundlePlace) -> None:
        """Makes the folder anew, for a server that is about to start.

        Raises:
            SwitchError: Where the folder above is another user's.
        """
        self.path.parent.mkdir(mode=PRIVATE, exist_ok=True)
        self._check_owner()
        self.remove()
        (self.path / "members").mkdir(parents=True, mode=PRIVATE)
        self.want(Wanted((served,), served.id))

    def remove(self) -> None:
        """Removes the folder of a server that has ended."""
        shutil.rmtree(self.path, ignore_errors=True)

    def want(self, wanted: Wanted) -> None:
        """Says what the processes are to do."""
        replace_file(self._wanted, wanted)

    def wanted(self) -> Wanted:
        """Returns what the processes are to do."""
        return msgspec.json.decode(self._wanted.read_bytes(), type=Wanted)

    def version(self) -> int:
        """Changes whenever `want` is called; 0 where the folder is gone."""
        try:
            found = self._wanted.stat()
        except OSError:
            return 0
        return hash((found.st_mtime_ns, found.st_ino))

    def note(self, note: ServerNote) -> None:
        """Says that the server is ready, and how it runs."""
        replace_file(self.path / "server.json", note)

    def noted(self) -> ServerNote:
        """Returns what is known of the server.

        Raises:
            SwitchError: Where there is none, or it is another user's.
        """
        self._check_owner()
        try:
            return msgspec.json.decode((self.path / "server.json").read_bytes(), type=ServerNote)
        except OSError:
            raise SwitchError(
                f"no server of this user that `fuserank serve` started is ready on port {self.path.name} of this "
                "machine; name it with --url, or run the command where the server runs"
            ) from None

    def report(self, member: Member) -> None:
        """Says what a process has done."""
        replace_file(self.path / "members" / f"{member.name}-{member.pid}.json", member)

    def members(self) -> list[Member]:
        """Returns what each process has done."""
        files = sorted((self.path / "members").glob("*.json"))
        return [msgspec.json.decode(path.read_bytes(), type=Member) for path in files]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other commands waiting.

        Raises:
            SwitchError: Where another one is at work.
        """
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise SwitchError("another promote or rollback of this server is at work; wait for its end") from None
        finally:
            os.close(descriptor)

    def _check_owner(self) -> None:
        with suppress(FileNotFoundError):
            found = self.path.parent.stat(follow_symlinks=False)
            if found.st_uid != os.getuid() or found.st_mode & 0o077:
                raise SwitchError(f"{self.path.parent}: is not this user's alone; remove it")


def replace_file(path: Path, value: msgspec.Struct) -> None:
    """Writes a file whole, or not at all."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    partial.write_bytes(msgspec.json.encode(value))
    partial.replace(path)
