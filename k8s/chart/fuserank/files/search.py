"""What `helm test` does: a search over gRPC, whose answer must be one.

It asks as a shop does, for a newcomer without a query, since no word is sure to be in every catalogue.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fuserank.client import Client
from fuserank.connection import TLS
from fuserank.errors import FuseRankError


def main() -> None:
    """Exits 1 with the reason where the answer is none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="host:port of the Service")
    parser.add_argument("--tls", type=Path, help="a folder with ca.crt, and for mutual TLS tls.crt and tls.key")
    parser.add_argument("--mutual", action="store_true", help="show the certificate of the folder")
    asked = parser.parse_args()
    tls = None
    if asked.tls:
        own = {"client_cert": asked.tls / "tls.crt", "client_key": asked.tls / "tls.key"} if asked.mutual else {}
        tls = TLS(root_ca=asked.tls / "ca.crt", **own)
    try:
        with Client(asked.url, timeout=30, tls=tls) as client:
            found = client.recommend("helm-test", k=3)
    except FuseRankError as error:
        sys.exit(f"no answer from {asked.url}: {error.message}")
    scores = [item.score for item in found]
    if not scores or scores != sorted(scores, reverse=True) or not found.status.bundle:
        sys.exit(f"{asked.url}: found {len(scores)} items with scores {scores}; expected some, best first")
    print(f"bundle {found.status.bundle}: {', '.join(item.id for item in found)}")  # noqa: T201  the pod's log


if __name__ == "__main__":
    main()
