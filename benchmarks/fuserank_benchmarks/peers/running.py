"""All peers of one benchmark: each started once with its best settings, and measured in interleaved rounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from fuserank_benchmarks.inputs.queries import MAX_REQUESTS, FreshLoad, Repeats, ShopVocabulary
from fuserank_benchmarks.peers.closed_loop import ClosedLoop, run_closed_loop
from fuserank_benchmarks.peers.kinds import KINDS, Kind
from fuserank_benchmarks.peers.peer import HttpPeer, Tuning, run_peer
from fuserank_benchmarks.peers.staged import StagedPeer, run_staged
from fuserank_benchmarks.peers.tune import CONCURRENCY

STACKS = (*KINDS, "staged")  # the last one is FuseRank's own stages, called one by one


@dataclass(frozen=True)
class PeersFolder:
    """The folder that `make bench-peers` writes."""

    root: Path

    @property
    def ready(self) -> bool:
        """Whether inputs and environments are there."""
        return (self.root / "inputs" / "vectors.npy").exists() and all((self.root / kind).is_dir() for kind in KINDS)

    def tuning(self, kind: Kind, rerank: int, alone: bool = False) -> Tuning:
        """The settings of the highest throughput, or the lowest latency alone; a peer's defaults if it is not tuned."""
        path = self.root / "tuning.json"
        trials = json.loads(path.read_text("utf-8")) if path.exists() else {}
        fastest = trials.get(f"{kind}_{rerank}_alone" if alone else f"{kind}_{rerank}")
        return Tuning(**fastest["tuning"]) if fastest else Tuning(kind)


@dataclass(frozen=True)
class Contestant:
    """A peer in the rounds.

    Attributes:
        busy: The peer with the settings of the highest throughput.
        alone: The peer with the settings of the lowest latency.
        rerank: Pairs that it reranks.
    """

    busy: HttpPeer | StagedPeer
    alone: HttpPeer | StagedPeer
    rerank: int


class RunningPeers:
    """Runs peers on an event loop of their own, as a context manager.

    Args:
        folder: Inputs, environments and settings.
        shop: What requests are drawn from.
        seconds: Length of one measurement.
    """

    def __init__(self, folder: PeersFolder, shop: ShopVocabulary, seconds: float) -> None:
        self._folder, self._load, self._seconds = folder, FreshLoad(shop), seconds
        self._runner, self._open = asyncio.Runner(), AsyncExitStack()
        self._peers: dict[Tuning, HttpPeer] = {}
        self.contestants: dict[str, Contestant] = {}

    def start(self, kind: Kind, rerank: int) -> None:
        """Starts a peer with its best settings for throughput and for latency; they share a process where equal."""
        busy, alone = (self._start(self._folder.tuning(kind, rerank, choice)) for choice in (False, True))
        self.contestants[f"{kind}_{rerank}"] = Contestant(busy, alone, rerank)

    def start_staged(self, bundle: Path) -> None:
        """Starts a bundle's stages as processes of their own."""
        peer = self._runner.run(self._open.enter_async_context(run_staged(bundle)))
        self.contestants[f"staged_{peer.rerank}"] = Contestant(peer, peer, peer.rerank)

    def measure(self, name: str) -> Mapping[str, float]:
        """Throughput at concurrency 8 and median latency at 1, hardly any query twice."""
        return self._measure(name, name, "none")

    def measure_repeating(self, name: str) -> Mapping[str, float]:
        """The same with queries that repeat as in search logs; the figures' names begin with `zipf_`."""
        return self._measure(f"zipf_{name}", name, "zipf")

    def _start(self, tuning: Tuning) -> HttpPeer:
        if tuning not in self._peers:
            peer = run_peer(tuning, self._folder.root / "inputs", self._folder.root)
            self._peers[tuning] = self._runner.run(self._open.enter_async_context(peer))
        return self._peers[tuning]

    def _measure(self, prefix: str, name: str, repeats: Repeats) -> Mapping[str, float]:
        peer = self.contestants[name]
        busy = self._run(peer.busy, peer.rerank, repeats, CONCURRENCY)
        alone = self._run(peer.alone, peer.rerank, repeats, 1)
        return {f"{prefix}_throughput": busy.per_second, f"{prefix}_p50_ms": alone.p50_ms}

    def _run(self, peer: HttpPeer | StagedPeer, rerank: int, repeats: Repeats, concurrency: int) -> ClosedLoop:
        load = self._load.draw(MAX_REQUESTS, repeats)
        requests = list(zip(load.queries, load.users, strict=True))
        return self._runner.run(run_closed_loop(peer.search, requests, rerank, concurrency, self._seconds))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._open.aclose())
        self._runner.close()
