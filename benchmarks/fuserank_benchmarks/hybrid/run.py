"""`make bench-hybrid`: FuseRank against LanceDB's hybrid search with a ranker in the caller, by turns in one run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import psutil
from rich.console import Console
from tritonclient.grpc import service_pb2_grpc

from fuserank.aio import AsyncClient
from fuserank_benchmarks.demo import free_ports, served
from fuserank_benchmarks.hybrid.groceries import PastShop
from fuserank_benchmarks.hybrid.inputs import write_inputs
from fuserank_benchmarks.hybrid.peer import LanceFolder, LancePeer, run_lance
from fuserank_benchmarks.hybrid.quality import Search, ask_all, compared, measure_esci, measure_searches
from fuserank_benchmarks.hybrid.report import MEANINGS, conclude, trial_table
from fuserank_benchmarks.hybrid.tuning import CALLERS, Tuned, tune
from fuserank_benchmarks.inputs.queries import MAX_REQUESTS, FreshLoad, Repeats, ShopVocabulary
from fuserank_benchmarks.load.fuserank_server import cpu_seconds, process_memory
from fuserank_benchmarks.load.open_loop import build_message
from fuserank_benchmarks.load.rounds import interleave
from fuserank_benchmarks.peers.closed_loop import ClosedLoop, SendRequest, run_closed_loop
from fuserank_benchmarks.peers.process import exit_on_sigterm
from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.reports.report import merge_report

OURS, PEER = "hybrid", "hybrid_peer"
TUNING_SECONDS = 4.0
WARM_UP = 8  # requests before each measurement, whose CPU time counts


@dataclass(frozen=True)
class HybridOptions:
    """What `hybrid-peer` measures.

    Attributes:
        bundle: A bundle of the shop before its last 28 days.
        past: Folder of that shop, which `prepare past-shop` has written.
        shop: Folder of the whole shop.
        environment: The peer's virtual environment.
        work: Folder of the peer's inputs, tables, rankers and settings.
        esci: Folder of Amazon's queries; may be missing.
        esci_bundle: A bundle of their catalogue; may be missing.
        rounds: Rounds of speed.
        seconds: Length of one measurement.
        cases: Judged searches at most.
        again: Whether settings that were found before are looked for anew.
    """

    bundle: Path
    past: Path
    shop: Path
    environment: Path
    work: Path
    esci: Path
    esci_bundle: Path
    rounds: int = 5
    seconds: float = 4.0
    cases: int = 3_000
    again: bool = False


class Contestant:
    """A running server under closed loops; each gets the same queries and users in the same order.

    Args:
        name: Prefix of its figures.
        send: Sends one request.
        shop: What requests are drawn from.
        seconds: Length of one measurement.
        run: Runs a coroutine.
        process: The server's first process.
    """

    def __init__(
        self,
        name: str,
        send: SendRequest,
        shop: ShopVocabulary,
        seconds: float,
        run: Callable[..., ClosedLoop],
        process: psutil.Process,
    ) -> None:
        self._name, self._send, self._load, self._seconds, self._run = name, send, FreshLoad(shop), seconds, run
        self._process = process

    def measure(self, repeats: Repeats) -> Mapping[str, float]:
        """Requests/s and CPU time of `CALLERS` callers, p50 of one; names begin with `zipf_` where queries repeat."""
        prefix = f"zipf_{self._name}" if repeats == "zipf" else self._name
        before = cpu_seconds(self._process)
        busy = self._loop(repeats, CALLERS)
        cpu = cpu_seconds(self._process) - before
        return {
            f"{prefix}_throughput": busy.per_second,
            f"{prefix}_cpu_ms": cpu * 1e3 / (len(busy.latencies) + WARM_UP),
            f"{prefix}_p50_ms": self._loop(repeats, 1).p50_ms,
        }

    def _loop(self, repeats: Repeats, callers: int) -> ClosedLoop:
        load = self._load.draw(MAX_REQUESTS, repeats)
        requests = list(zip(load.queries, load.users, strict=True))
        return self._run(run_closed_loop(self._send, requests, 0, callers, self._seconds, WARM_UP))


class Servers:
    """Both servers on one event loop, as a context manager.

    Args:
        url: Our gRPC address.
        tuned: The peer's settings.
        folder: The peer's inputs and environment.
    """

    def __init__(self, url: str, tuned: Tuned, folder: LanceFolder) -> None:
        self._url, self._tuned, self._folder = url, tuned, folder
        self._runner, self._open = asyncio.Runner(), AsyncExitStack()
        self.run = self._runner.run

    def __enter__(self) -> Self:
        self.run(self._start())
        return self

    async def _start(self) -> None:
        self.peer: LancePeer = await self._open.enter_async_context(run_lance(self._tuned.best, self._folder))
        self._client = await self._open.enter_async_context(AsyncClient(self._url))
        channel = await self._open.enter_async_context(grpc.aio.insecure_channel(self._url))
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

    async def send(self, query: str, user: str, rerank: int) -> object:
        """Sends one request to our server; the bundle decides what is reranked."""
        del rerank
        return await self._stub.ModelInfer(build_message(query, user, '{"k":10}'))

    async def search(self, query: str, user: str) -> list[str]:
        """Ids of the ten items that our server finds best."""
        return [item.id for item in (await self._client.search(query, user, k=10)).items]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self._open.aclose())
        self._runner.close()


def measure_hybrid_peer(options: HybridOptions, console: Console) -> Path:
    """Measures both, and writes the report `hybrid`; returns its JSON file.

    Raises:
        PeerError: The peer's environment is not there, or the peer does not run.
        ValueError: The shop's catalogue is not the bundle's.
    """
    exit_on_sigterm()
    announce = partial(console.print, style="dim", highlight=False)
    bundle = Bundle.open(options.bundle, verify=())
    folder = LanceFolder(options.work / bundle.id, options.environment)
    shop = ShopVocabulary.read(options.shop)
    tuned = _tuned(options, folder, shop, announce)
    announce(f"LanceDB: {tuned.best.describe()}")
    item_ids = [item_id.decode() for item_id in bundle.items.ids.tolist()]
    searches = PastShop.read(options.shop, item_ids).judged(options.cases)
    figures: dict[str, Any] = {"hybrid_load_before": round(os.getloadavg()[0], 2)}
    http, grpc_port, metrics = free_ports(3)
    before = {process.pid for process in psutil.Process().children()}
    with served(options.bundle, (http, grpc_port, metrics), console):
        (process,) = [child for child in psutil.Process().children() if child.pid not in before]
        with Servers(f"127.0.0.1:{grpc_port}", tuned, folder) as servers:
            sends: dict[str, SendRequest] = {OURS: servers.send, PEER: servers.peer.search}
            roots = {OURS: process, PEER: servers.peer.process}
            rivals = {
                name: Contestant(name, send, shop, options.seconds, servers.run, roots[name])
                for name, send in sends.items()
            }
            probes = {
                f"{name}, queries {'repeat' if repeats == 'zipf' else 'differ'}": partial(rival.measure, repeats)
                for repeats in ("none", "zipf")
                for name, rival in rivals.items()
            }
            figures |= conclude(interleave(probes, options.rounds, announce))
            figures[f"{OURS}_resident_bytes"] = process_memory(process)[0]
            figures[f"{PEER}_resident_bytes"] = process_memory(servers.peer.process)[0]
            announce(f"{len(searches.queries)} judged searches")
            asked: Sequence[Search] = (servers.search, servers.peer.search)
            values = [
                measure_searches(bundle, searches, servers.run(ask_all(search, searches.queries, searches.users)))
                for search in asked
            ]
    figures |= {"hybrid_cases": len(searches.queries), **compared("search", *values)}
    if options.esci.exists() and (options.esci_bundle / "manifest.json").exists():
        figures |= measure_esci(options.esci_bundle, options.esci, tuned.best, options.work, options.environment)
    else:
        announce(f"Amazon's queries: left out, {options.esci} or {options.esci_bundle} is not there")
    figures |= {"hybrid_load_after": round(os.getloadavg()[0], 2)}
    return _write(bundle.id, figures, tuned, console)


def _tuned(options: HybridOptions, folder: LanceFolder, shop: ShopVocabulary, announce: Callable[[str], None]) -> Tuned:
    """The peer's settings, found now unless an earlier run found them for this bundle."""
    found = folder.inputs / "tuning.json"
    if found.exists() and not options.again:
        return Tuned.read(found)
    announce("LanceDB: writing its inputs")
    write_inputs(options.bundle, options.past, options.shop, folder.inputs)
    load = FreshLoad(shop).draw(MAX_REQUESTS)
    tuned = tune(folder, list(zip(load.queries, load.users, strict=True)), TUNING_SECONDS, announce)
    tuned.write(found)
    return tuned


def _write(bundle: str, figures: dict[str, Any], tuned: Tuned, console: Console) -> Path:
    figures["hybrid_peer_settings"] = tuned.best.describe()
    known: dict[str, Any] = dict.fromkeys(MEANINGS) | figures
    for name, meaning in MEANINGS.items():
        console.print(f"{name:44} {known[name]!s:>10}  {meaning}", highlight=False)
    return merge_report("hybrid", "lancedb", bundle, known, MEANINGS, {}, trial_table(tuned))
