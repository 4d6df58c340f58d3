"""One replica of the rendered chart for this folder, and certificates."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.charts import triton
from support.replica import Replica, free_endpoints, started


@pytest.fixture(scope="package")
def replica(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """What the default values deploy, running here."""
    with started(triton(), tiny_bundle, free_endpoints(), tmp_path_factory.mktemp("replica"), without=()) as running:
        yield running


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority and a certificate for localhost that serves both sides: ca.crt, tls.crt, tls.key."""
    folder = tmp_path_factory.mktemp("certificates")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    authority = [*new, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test authority"]
    leaf = [*new, "-CA", "ca.crt", "-CAkey", "ca.key", "-keyout", "tls.key", "-out", "tls.crt", "-subj", "/CN=shop"]
    leaf += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    for command in (authority, leaf):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder
