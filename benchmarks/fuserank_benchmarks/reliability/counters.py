"""What a server counts of itself, read from its metrics endpoint."""

from __future__ import annotations

import urllib.request
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

DEGRADED = "fuserank_degraded_replies_total"


def read_degraded(metrics_url: str) -> Counter[str]:
    """Returns how many replies were cut short so far, by reason.

    Args:
        metrics_url: Address of the endpoint, such as http://127.0.0.1:8002/metrics.
    """
    with urllib.request.urlopen(metrics_url, timeout=10) as reply:  # noqa: S310  the benchmark's own server
        families = list(text_string_to_metric_families(reply.read().decode()))
    counts: Counter[str] = Counter()
    for family in families:
        for sample in family.samples:
            if sample.name == DEGRADED:
                counts[sample.labels["reason"]] += int(sample.value)
    return counts
