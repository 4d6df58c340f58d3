"""Signed bundles: a server that is told whose keys it trusts serves nothing that they have not signed.

`manifest.json.sig` beside the manifest holds an Ed25519 signature (RFC 8032) of the manifest's bytes. The manifest has
the hash of each file, so the signature covers them all.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fuserank_ensemble.bundle import MANIFEST, Bundle, BundleError

SIGNATURE = f"{MANIFEST}.sig"
TRUSTED_KEY = "FUSERANK_TRUSTED_KEY"  # the environment's name of the file of trusted keys
_PEM = re.compile(rb"-----BEGIN [^-]+-----.+?-----END [^-]+-----", re.DOTALL)

TrustedKeyOption = Annotated[
    Path | None,
    typer.Option(
        envvar=TRUSTED_KEY,
        help="Public keys (PEM); a bundle that none of them has signed, as `fuserank export sign` does, is refused.",
    ),
]


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `manifest.json.sig` holds, as JSON.

    Attributes:
        key: Fingerprint of the public key.
        signature: Of the manifest, 64 bytes, in base64.
    """

    key: str
    signature: bytes


def fingerprint(key: Ed25519PublicKey) -> str:
    """Tells public keys apart: the first 16 hexadecimal digits of SHA-256 over the key's 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def add_trusted_key(parser: argparse.ArgumentParser) -> None:
    """Adds `--trusted-key` to the commands of a container; by default it is what the environment names."""
    named = os.environ.get(TRUSTED_KEY)
    parser.add_argument(
        "--trusted-key",
        type=Path,
        default=Path(named) if named else None,
        help=f"public keys (PEM) of which one must have signed the bundle; {TRUSTED_KEY} in the environment",
    )


def read_trusted_keys(path: Path) -> dict[str, Ed25519PublicKey]:
    """Reads public keys by their fingerprints; a file may hold several, so that keys can be changed.

    Raises:
        BundleError: Where the file holds none, or something else.
    """
    allowed = "allowed: Ed25519 public keys in PEM, as `openssl pkey -in signing.pem -pubout` writes them"
    try:
        keys = [load_pem_public_key(block) for block in _PEM.findall(path.read_bytes())]
    except OSError as error:
        raise BundleError(f"--trusted-key {path}: {error.strerror}; {allowed}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BundleError(f"--trusted-key {path}: found what is no public key; {allowed}") from None
    found = [key for key in keys if isinstance(key, Ed25519PublicKey)]
    if not keys or len(found) < len(keys):
        others = ", ".join(type(key).__name__ for key in keys if not isinstance(key, Ed25519PublicKey))
        raise BundleError(f"--trusted-key {path}: found {others or 'no key'}; {allowed}")
    return {fingerprint(key): key for key in found}


def check_signature(bundle: Bundle, trusted: Path | None) -> str | None:
    """Checks that a trusted key has signed a bundle's manifest, and that it holds no file beyond those of the manifest.

    Args:
        bundle: The bundle, whose files were compared with its manifest.
        trusted: The file of trusted keys; None takes any bundle.

    Returns:
        Fingerprint of the key that has signed it; None where any bundle is taken.

    Raises:
        BundleError: Naming the bundle, the key found and the keys allowed.
    """
    if trusted is None:
        return None
    keys = read_trusted_keys(trusted)
    allowed = f"allowed: signed with {' or '.join(keys)} ({trusted})"
    signature = _read_signature(bundle.root, allowed)
    key = keys.get(signature.key)
    if key is None:
        raise BundleError(
            f"{bundle.root}: signed with the key {signature.key}; {allowed}: sign it with such a key once you know "
            "where it comes from, or add its own to that file"
        )
    manifest = (bundle.root / MANIFEST).read_bytes()
    try:
        key.verify(signature.signature, manifest)
    except InvalidSignature:
        raise BundleError(
            f"{bundle.root}: {MANIFEST} is not what the key {signature.key} has signed; {allowed}: copy the bundle "
            "again, or export and sign it again"
        ) from None
    if json.loads(manifest) != bundle.manifest:
        raise BundleError(f"{bundle.root}: {MANIFEST} was changed meanwhile; start again")
    check_nothing_added(bundle.root, bundle.manifest["files"])
    return signature.key


def check_nothing_added(root: Path, files: Mapping[str, str]) -> None:
    """Checks that a bundle holds no file that its manifest has no hash of, and no link.

    Raises:
        BundleError: Naming the first one.
    """
    known = {MANIFEST, SIGNATURE, *files}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink() or (name not in known and not path.is_dir()):
            found = "is a link" if path.is_symlink() else f"is not in {MANIFEST}, so that nobody has signed it"
            raise BundleError(f"{path}: {found}; remove it, or copy the bundle again")


def _read_signature(root: Path, allowed: str) -> Signature:
    path = root / SIGNATURE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Signature)
    except FileNotFoundError:
        raise BundleError(
            f"{root}: is not signed; {allowed}: `fuserank export sign {root} --key signing.pem` signs it; without "
            "--trusted-key (FUSERANK_TRUSTED_KEY) any bundle is served"
        ) from None
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}; let this user read it") from None
    except msgspec.DecodeError as error:
        raise BundleError(f"{path}: {error}; {allowed}: sign the bundle again with `fuserank export sign`") from None
