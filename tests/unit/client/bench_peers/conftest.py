"""The peers' modules, imported as the bench's scripts and the endpoint's own process import them."""

from __future__ import annotations

import sys
from pathlib import Path

BENCH = Path(__file__).parents[4] / "client" / "bench"
for folder in (BENCH, BENCH / "peers" / "endpoint"):
    sys.path.insert(0, str(folder))
