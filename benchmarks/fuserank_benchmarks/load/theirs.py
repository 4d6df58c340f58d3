"""The peers in the same rounds: started once, asked in their turns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from fuserank_benchmarks.peers.closed_loop import closed_loop
from fuserank_benchmarks.peers.peer import HttpPeer, Kind, Tuning, running
from fuserank_benchmarks.peers.staged import StagedPeer, staged

CONCURRENCY, RERANK = 8, 16
KINDS: tuple[Kind, ...] = ("infinity", "sbert")
STACKS = (*KINDS, "staged")  # the last one is our own stages, called one by one


@dataclass(frozen=True)
class PeersFolder:
    """What `make bench-peers` and the tuning have left."""

    root: Path

    @property
    def ready(self) -> bool:
        """Whether there is anything to compare with."""
        return (self.root / "inputs" / "vectors.npy").exists() and all((self.root / kind).is_dir() for kind in KINDS)

    def tuning(self, kind: Kind, rerank: int, alone: bool = False) -> Tuning:
        """The settings that answer most, or `alone` soonest; where nothing was tuned, those that a peer comes with."""
        path = self.root / "tuning.json"
        known = json.loads(path.read_text("utf-8")) if path.exists() else {}
        found = known.get(f"{kind}_{rerank}_alone" if alone else f"{kind}_{rerank}")
        return Tuning(**found["tuning"]) if found else Tuning(kind)


class Theirs:
    """Runs peers on an event loop of their own, as a context manager.

    Args:
        folder: Where they are.
        questions: Queries and users.
        repeating: The same with queries that come again as people's do.
        seconds: Of one measurement.
    """

    def __init__(
        self,
        folder: PeersFolder,
        questions: Sequence[tuple[str, str]],
        repeating: Sequence[tuple[str, str]],
        seconds: float,
    ) -> None:
        self._folder, self._questions, self._repeating, self._seconds = folder, questions, repeating, seconds
        self._runner, self._open = asyncio.Runner(), AsyncExitStack()
        self._peers: dict[Tuning, HttpPeer] = {}
        # For throughput, for latency, and the pairs that are reranked.
        self.running: dict[str, tuple[HttpPeer | StagedPeer, HttpPeer | StagedPeer, int]] = {}

    def start(self, kind: Kind, rerank: int) -> None:
        """Starts a peer with the settings that suit it best with or without reranking, under load and alone."""
        many, one = (self._started(self._folder.tuning(kind, rerank, alone)) for alone in (False, True))
        self.running[f"{kind}_{rerank}"] = (many, one, rerank)

    def _started(self, tuning: Tuning) -> HttpPeer:
        if tuning not in self._peers:
            peer = running(tuning, self._folder.root / "inputs", self._folder.root)
            self._peers[tuning] = self._runner.run(self._open.enter_async_context(peer))
        return self._peers[tuning]

    def start_staged(self, bundle: Path) -> None:
        """Starts a bundle's stages as processes of their own, which the client calls one after the other."""
        peer = self._runner.run(self._open.enter_async_context(staged(bundle)))
        self.running[f"staged_{peer.rerank}"] = (peer, peer, peer.rerank)

    def probe(self, name: str) -> Mapping[str, float]:
        """Throughput at concurrency 8 and median latency at 1."""
        return self._asked(name, name, self._questions)

    def probe_repeating(self, name: str) -> Mapping[str, float]:
        """Both where queries repeat."""
        return self._asked(f"zipf_{name}", name, self._repeating)

    def _asked(self, figure: str, name: str, questions: Sequence[tuple[str, str]]) -> Mapping[str, float]:
        busy, alone, rerank = self.running[name]
        many = self._runner.run(closed_loop(busy.ask, questions, rerank, CONCURRENCY, self._seconds))
        one = self._runner.run(closed_loop(alone.ask, questions, rerank, 1, self._seconds))
        return {f"{figure}_throughput": many.per_second, f"{figure}_p50_ms": one.p50_ms}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._open.aclose())
        self._runner.close()
