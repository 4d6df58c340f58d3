"""Users and sessions in logs and bundles: hashes under a key, by which nobody without it can tell who they are."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from fuserank_ensemble.contract.identity import HASHED, HASHED_NAME, clean_identity

KEY_BYTES = 32
Subject = bytes  # a user or a session as the log knows them, 16 bytes


def hashed_name(subject: Subject) -> str:
    """Returns the name in a bundle of a user or a session."""
    return f"{HASHED}{subject.hex()}"


def subject_named(name: str) -> Subject | None:
    """Returns whom `hashed_name` named so, None where the name is not one of its."""
    hashed = HASHED_NAME.fullmatch(name)
    return bytes.fromhex(hashed[1]) if hashed else None


@dataclass(frozen=True)
class IdentityKey:
    """The key of users and sessions.

    Who is given by the name that a bundle has for them is the one who is named so: programs that have only bundles and
    logs need no ids. What comes over the network is checked before, see `refuse_hashed_name`.

    Attributes:
        secret: 32 random bytes.
    """

    secret: bytes

    def user(self, user_id: str) -> Subject:
        """Returns a user's hash, 16 bytes; ids that differ in invisible characters alone are one."""
        return subject_named(user_id) or self._hash(user_id, b"user")

    def session(self, session_id: str) -> Subject:
        """Returns a session's hash, 16 bytes; never that of a user of the same id."""
        return subject_named(session_id) or self._hash(session_id, b"session")

    def user_name(self, user_id: str) -> str:
        """Returns a user's name in a bundle."""
        return hashed_name(self.user(user_id))

    def session_name(self, session_id: str) -> str:
        """Returns a session's name in a bundle."""
        return hashed_name(self.session(session_id))

    @property
    def fingerprint(self) -> str:
        """Tells keys apart without giving them away; hexadecimal."""
        return blake2b(b"fingerprint", key=self.secret, digest_size=8).hexdigest()

    def _hash(self, identity: str, kind: bytes) -> Subject:
        return blake2b(clean_identity(identity).encode(), key=self.secret, person=kind, digest_size=16).digest()
