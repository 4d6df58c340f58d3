"""Whether a served bundle answers as the graph in this process does, on the CPU and in FP32."""

from __future__ import annotations

from fuserank.client import Client
from fuserank_benchmarks.inputs.queries import Kind, Load
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_export.engines.parity.gate import MIN_OVERLAP, mean_overlap

KINDS: tuple[Kind, ...] = ("both", "user", "query")


def compare_answers(client: Client, graph: LocalGraph, load: Load, count: int) -> dict[str, float]:
    """Asks a server and a graph in this process the same.

    Args:
        client: Of the server, which serves the graph's bundle, or one of the same export with other engines.
        graph: The bundle's graph, whose engines are those in FP32.
        load: What is asked.
        count: How many requests of each kind.

    Returns:
        The mean share of the graph's first ten that are among the server's, 0 to 1, by kind of request.

    Raises:
        SystemExit: A share is below what the gate on engines allows.
    """
    overlaps: dict[str, float] = {}
    for kind in KINDS:
        rows = [(query, user) for query, user, _ in load.requests(kind)[:count]]
        served = [[item.id for item in client.search(query, user)] for query, user in rows]
        expected = [[item.decode() for item in graph.search(query, user)["ITEM_ID"][0]] for query, user in rows]
        overlaps[kind] = mean_overlap(served, expected)
    worst = min(overlaps, key=lambda kind: overlaps[kind])
    if overlaps[worst] < MIN_OVERLAP:
        raise SystemExit(
            f"{overlaps[worst]:.3f} of the first ten on the CPU are among the server's (kind of request: {worst}); "
            f"allowed: at least {MIN_OVERLAP}. Is the bundle the one that is served, or of the same export? Then serve "
            "it with FUSERANK_TARGET=single_process and compare again: what differs then is not the GPU"
        )
    return overlaps
