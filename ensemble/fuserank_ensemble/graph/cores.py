"""How many cores an engine's threads may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(cgroups: Path = CGROUPS) -> int:
    """The cores that this process may run on, or its container's CPU limit where that is less; at least 1.

    A limit of a container takes no core away: it stops all threads once they have used its share of a period, so that
    more threads than its cores only wait for each other.

    Args:
        cgroups: Where the control groups are mounted, of version 2 or 1.
    """
    cores = len(os.sched_getaffinity(0))
    limit = _limit(cgroups)
    return max(1, min(cores, math.ceil(limit))) if limit else cores


def _limit(cgroups: Path) -> float | None:
    """The CPU limit in cores; None where there is none."""
    try:
        if (cgroups / "cpu.max").is_file():
            quota, period = (cgroups / "cpu.max").read_text("ascii").split()
        else:
            quota = (cgroups / "cpu" / "cpu.cfs_quota_us").read_text("ascii")
            period = (cgroups / "cpu" / "cpu.cfs_period_us").read_text("ascii")
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError):
        return None  # no control groups here, or `max`
