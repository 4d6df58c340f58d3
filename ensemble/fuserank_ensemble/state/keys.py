"""Files that keep the key of users and sessions."""

from __future__ import annotations

import os
import secrets
import uuid
from pathlib import Path

from fuserank_ensemble.state.identity import KEY_BYTES, IdentityKey
from fuserank_ensemble.state.log import StateError

KEY_FILE = "FUSERANK_STATE_KEY_FILE"
STATE_SUFFIX = ".state"  # of the folder beside a bundle where its server keeps what changes
LOG_FILE = "log.sqlite"  # within that folder
KEY_SUFFIX = ".key"  # of the file beside a log that keeps its key


def key_file_beside(bundle: Path) -> Path:
    """Returns the key file of a bundle whose server keeps its log beside it, `<bundle>.state/log.sqlite.key`."""
    root = bundle.resolve()
    return root.with_name(f"{root.name}{STATE_SUFFIX}") / f"{LOG_FILE}{KEY_SUFFIX}"


def new_secret() -> str:
    """Returns a new key's secret, 64 hexadecimal digits."""
    return secrets.token_hex(KEY_BYTES)


def read_key(path: Path) -> IdentityKey:
    """Reads a key file.

    Raises:
        StateError: Where there is none, or it holds something else.
    """
    try:
        secret = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise StateError(f"{KEY_FILE} {path}: {error}") from None
    if len(secret) != KEY_BYTES:
        raise StateError(f"{KEY_FILE} {path}: found {len(secret)} bytes; allowed: {KEY_BYTES}, as hexadecimal digits")
    return IdentityKey(secret)


def read_key_beside(bundle: Path) -> IdentityKey | None:
    """Reads the key file beside a bundle, see `key_file_beside`; None where there is none.

    Raises:
        StateError: Where it holds something else.
    """
    path = key_file_beside(bundle)
    return read_key(path) if path.exists() else None


def keep_key(path: Path, secret: str = "") -> IdentityKey:
    """Reads a key file; where there is none, makes one.

    Args:
        path: The file.
        secret: What a new file holds, 64 hexadecimal digits; empty makes a new key.

    Raises:
        StateError: Where it cannot be made, or holds something else.
    """
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _create_whole(path, (secret or new_secret()) + "\n")
        except OSError as error:
            raise StateError(f"the key of users cannot be kept at {path}: {error}") from None
    return read_key(path)


def carry_key(old: Path, new: Path) -> None:
    """Copies the key file beside a bundle to beside one that is made of it, where there is one and none is there.

    Raises:
        StateError: Where it cannot be read or kept.
    """
    key = read_key_beside(old)
    if key is not None:
        keep_key(key_file_beside(new), key.secret.hex())


def _create_whole(path: Path, text: str) -> None:
    """Makes a file that only its owner may read; where another process or thread was faster, its file stays."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, text.encode("ascii"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink()
