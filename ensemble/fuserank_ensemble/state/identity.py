"""Users and sessions in the log: hashes under a key, from which nobody without the key can tell who they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from fuserank_ensemble.contract.identity import clean_identity

KEY_BYTES = 32
HASHED = "hash:"  # begins the name of a user or a session in a bundle whose id nobody knows, see `hashed_name`
_HASHED_NAME = re.compile(rf"{HASHED}([0-9a-f]{{32}})")
Subject = bytes  # a user or a session as the log knows them, 16 bytes


def hashed_name(subject: Subject) -> str:
    """Returns the name in a bundle of a user or a session whom the log alone knows."""
    return f"{HASHED}{subject.hex()}"


@dataclass(frozen=True)
class IdentityKey:
    """The key of a log's users and sessions.

    Attributes:
        secret: 32 random bytes.
    """

    secret: bytes

    def user(self, user_id: str) -> Subject:
        """Returns a user's hash, 16 bytes; ids that differ in invisible characters alone are one."""
        return self._hash(user_id, b"user")

    def session(self, session_id: str) -> Subject:
        """Returns a session's hash, 16 bytes; never that of a user of the same id."""
        return self._hash(session_id, b"session")

    def subject_named(self, name: str) -> Subject:
        """Returns the hash of who stands in a bundle under a name: a user's id, or what `hashed_name` returned."""
        hashed = _HASHED_NAME.fullmatch(name)
        return bytes.fromhex(hashed[1]) if hashed else self.user(name)

    @property
    def fingerprint(self) -> str:
        """Tells keys apart without giving them away; hexadecimal."""
        return blake2b(b"fingerprint", key=self.secret, digest_size=8).hexdigest()

    def _hash(self, identity: str, kind: bytes) -> Subject:
        return blake2b(clean_identity(identity).encode(), key=self.secret, person=kind, digest_size=16).digest()
