"""Certificates of clients, good and bad ones."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID


def client_certificate(authority: Path, folder: Path, *, lasts: timedelta, signed: bool = True) -> Path:
    """A folder with a client's `tls.crt` and `tls.key`, and the authority's `ca.crt` for the server's.

    Args:
        authority: A folder with `ca.crt` and `ca.key`.
        folder: To be made.
        lasts: How long from now; less than nothing for one that has expired.
        signed: Whether by the authority; else by itself.
    """
    folder.mkdir()
    shutil.copy(authority / "ca.crt", folder / "ca.crt")
    issuer = x509.load_pem_x509_certificate((authority / "ca.crt").read_bytes()).subject
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "caller")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer if signed else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + lasts)
    )
    signer = load_pem_private_key((authority / "ca.key").read_bytes(), None) if signed else key
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    (folder / "tls.crt").write_bytes(made.sign(signer, SHA256()).public_bytes(Encoding.PEM))
    (folder / "tls.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder
