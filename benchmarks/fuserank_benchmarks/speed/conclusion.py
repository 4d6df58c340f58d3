"""Figures of the speed report from the values that the rounds measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from fuserank_benchmarks.load.rounds import ratios, summarize
from fuserank_benchmarks.peers.running import STACKS
from fuserank_benchmarks.peers.tune import RERANK

PLAIN, WITH_TOWER, SHALLOW = "plain", "tower", "shallow"  # servers without a text tower, with one, with a shallow one
SIZES = ("10k", "1m")  # items of the bundles that `inputs.resized_bundle` writes beside the bundle with a tower
Measured = Mapping[str, Sequence[float]]  # each figure's values, one a round


def conclude(measured: Measured, main: str) -> dict[str, Any]:
    """Medians and intervals of all figures, and ratios to the ceiling and to the better peer.

    Args:
        measured: Each figure's values, one a round.
        main: The server that ceiling and overhead are measured of.
    """
    p50 = measured[f"{main}_p50_ms"]
    overhead = [whole - engines for whole, engines in zip(p50, measured["raw_model_ms"], strict=True)]
    figures: dict[str, Any] = summarize(
        "ceiling_ratio", ratios(measured[f"{main}_throughput"], measured["ceiling_throughput"])
    )
    figures |= summarize("overhead_ms", overhead)
    figures |= summarize("p99_over_p50_at_70", ratios(measured["steady_p99_ms"], measured["steady_p50_ms"]))
    repeating = {name.removeprefix("zipf_"): values for name, values in measured.items() if name.startswith("zipf_")}
    figures |= compare_with_peers("search_only_vs_peer", measured, f"{PLAIN}_throughput", "_0_throughput")
    for suffix, source, server in (
        ("", measured, WITH_TOWER),
        (f"_{SHALLOW}", measured, SHALLOW),
        ("_zipf", repeating, WITH_TOWER),
    ):
        figures |= compare_with_peers(
            f"throughput_vs_peer{suffix}", source, f"{server}_throughput", f"_{RERANK}_throughput"
        )
        figures |= compare_with_peers(
            f"p50_vs_peer{suffix}", source, f"{server}_p50_ms", f"_{RERANK}_p50_ms", less_is_better=True
        )
    for name in (f"zipf_{WITH_TOWER}_throughput", f"zipf_{WITH_TOWER}_p50_ms"):
        figures |= summarize(name, measured.get(name, []), digits=2)
    for name in ("goodput_at_2x", "refused_in_time_at_2x"):
        figures |= summarize(name, measured[name])
    for name, values in measured.items():
        figures |= summarize(name, values, digits=2) if name not in figures else {}
    small, large = (measured.get(f"items_{size}_p50_ms", []) for size in SIZES)
    return figures | summarize("p50_ratio_1m_to_10k", ratios(large, small))


def compare_with_peers(
    name: str, measured: Measured, own: str, peer_suffix: str, less_is_better: bool = False
) -> dict[str, Any]:
    """The ratio of a server's figure to that of the better peer, by the median of its rounds.

    Args:
        name: The ratio's name; `<name>_peer` names the peer.
        measured: Each figure's values, one a round.
        own: The server's figure.
        peer_suffix: A peer's figure is its name with this suffix.
        less_is_better: Whether the better peer is the one with the lower figure.
    """
    peers = {stack: measured[f"{stack}{peer_suffix}"] for stack in STACKS if f"{stack}{peer_suffix}" in measured}
    if own not in measured or not peers:
        return summarize(name, [])
    best = (min if less_is_better else max)(peers, key=lambda stack: median(peers[stack]))
    return {f"{name}_peer": best, **summarize(name, ratios(measured[own], peers[best]))}
