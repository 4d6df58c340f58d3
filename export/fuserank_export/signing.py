"""Signs a bundle with a private key, so that servers that trust the key can tell that it is whole and whose it is."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fuserank_ensemble.bundle import MANIFEST, Bundle
from fuserank_ensemble.serving.signature import SIGNATURE, Signature, check_nothing_added, fingerprint
from fuserank_export.errors import ExportError


def sign_bundle(root: Path, key_file: Path) -> Signature:
    """Writes the signature beside the manifest, in place of one that is there.

    Args:
        root: The bundle's folder.
        key_file: A private key, PEM, as `openssl genpkey -algorithm ed25519` writes it.

    Returns:
        The signature.

    Raises:
        BundleError: Where a file of the bundle is not what the manifest says, or the manifest has none of its hash.
        ExportError: Where the key cannot be used, or the signature cannot be written.
    """
    key = read_signing_key(key_file)
    bundle = Bundle.open(root)
    check_nothing_added(root, bundle.manifest["files"])
    signature = Signature(fingerprint(key.public_key()), key.sign((root / MANIFEST).read_bytes()))
    # Beside the bundle: within it, it would be a file that the manifest does not have.
    partial = root.with_name(f".{root.name}.{SIGNATURE}.{os.getpid()}")
    try:
        partial.write_bytes(msgspec.json.encode(signature) + b"\n")
        partial.replace(root / SIGNATURE)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ExportError(f"{root / SIGNATURE}: {error.strerror}; sign where the bundle can be written") from None
    return signature


def read_signing_key(path: Path) -> Ed25519PrivateKey:
    """Reads a private key.

    Raises:
        ExportError: Where the file holds none, another kind, or one under a passphrase; or others can read it.
    """
    allowed = "allowed: an Ed25519 private key in PEM, no passphrase, as `openssl genpkey -algorithm ed25519` makes"
    try:
        content, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise ExportError(f"--key {path}: {error.strerror}; {allowed}") from None
    if mode & 0o007:
        raise ExportError(f"--key {path}: anybody on this machine can read it; chmod 600 {path}")
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        raise ExportError(f"--key {path}: is under a passphrase; {allowed}; `openssl pkey` takes it off") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ExportError(f"--key {path}: found what is no private key; {allowed}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ExportError(f"--key {path}: found {type(key).__name__}; {allowed}")
    return key
