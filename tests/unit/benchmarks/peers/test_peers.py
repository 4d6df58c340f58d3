"""Closed loops, batching, the choice of settings, and the staged peer's tensors, without a running peer."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from fuserank_benchmarks.peers.closed_loop import RefusedError, run_closed_loop
from fuserank_benchmarks.peers.endpoint import models
from fuserank_benchmarks.peers.peer import Tuning
from fuserank_benchmarks.peers.process import PeerError, run_process, wait_until_healthy
from fuserank_benchmarks.peers.staged import parse_items, stage_inputs
from fuserank_benchmarks.peers.tune import Trial, best_figures, fastest_trial


async def test_a_closed_loop_has_as_many_callers_as_its_concurrency() -> None:
    running, most = 0, 0

    async def send(query: str, user: str, rerank: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    measured = await run_closed_loop(send, [("milk", "1")], 0, 4, 0.1)

    assert most == 4
    assert measured.latencies
    assert measured.per_second == pytest.approx(len(measured.latencies) / measured.seconds)


async def test_a_peer_that_fails_stops_the_load() -> None:
    async def send(query: str, user: str, rerank: int) -> None:
        raise RuntimeError("gone")

    with pytest.raises((RuntimeError, ExceptionGroup)):
        await run_closed_loop(send, [("milk", "1")], 0, 2, 0.1)


async def test_waiting_items_are_batched_and_each_gets_its_own_result() -> None:
    runs: list[list[int]] = []

    def run(values: list[int]) -> list[int]:
        runs.append(values)
        return [value * 2 for value in values]

    batcher = models.Batcher(run, 4, ThreadPoolExecutor(1))

    assert await asyncio.gather(*(batcher.submit(value) for value in range(9))) == [value * 2 for value in range(9)]
    assert max(map(len, runs)) == 4


async def test_an_error_reaches_its_whole_batch_and_no_later_one() -> None:
    def run(values: list[int]) -> list[int]:
        if 0 in values:
            raise ValueError("zero")
        return values

    batcher = models.Batcher(run, 8, ThreadPoolExecutor(1))

    answers = await asyncio.gather(batcher.submit(0), batcher.submit(1), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ValueError, ValueError]
    assert await batcher.submit(2) == 2


async def test_a_refused_request_is_no_answer_and_ends_nothing() -> None:
    sent = 0

    async def send(query: str, user: str, rerank: int) -> None:
        nonlocal sent
        sent += 1
        refused = sent % 2
        await asyncio.sleep(0.001)
        if refused:
            raise RefusedError("full")

    measured = await run_closed_loop(send, [("milk", "7")], 0, 2, 0.05, warm_up=0)

    assert len(measured.latencies) == sent // 2 > 0


def test_the_setting_of_highest_throughput_is_kept_by_pairs_reranked() -> None:
    scans, reads = Tuning("sbert", threads=1), Tuning("sbert", threads=2)
    trials = [Trial(scans, {0: 90.0, 16: 5.0}), Trial(reads, {0: 80.0, 16: 9.0}), Trial(Tuning("sbert"), error="no")]

    assert (fastest_trial(trials, 0).tuning, fastest_trial(trials, 16).tuning) == (scans, reads)


def test_alone_the_setting_of_lowest_latency_is_kept() -> None:
    many, soon = Tuning("sbert", workers=2), Tuning("sbert")
    trials = [Trial(many, {16: 9.0}, {16: 40.0}), Trial(soon, {16: 5.0}, {16: 20.0})]

    assert (fastest_trial(trials, 16).tuning, fastest_trial(trials, 16, alone=True).tuning) == (many, soon)


def test_a_setting_tried_twice_counts_by_its_better_figures() -> None:
    tuning = Tuning("sbert")

    assert best_figures(Trial(tuning, {0: 9.0}, {0: 3.0}), Trial(tuning, {0: 8.0}, {0: 2.0})) == Trial(
        tuning, {0: 9.0}, {0: 2.0}
    )
    assert best_figures(Trial(tuning, error="busy"), Trial(tuning, {0: 8.0}, {0: 2.0})).per_second == {0: 8.0}


def test_where_no_setting_runs_every_reason_is_named() -> None:
    with pytest.raises(PeerError, match="first\nsecond"):
        fastest_trial([Trial(Tuning("sbert"), error="first"), Trial(Tuning("sbert"), error="second")], 16)


async def test_a_process_that_ends_too_early_is_reported_with_its_log() -> None:
    silent = ["sh", "-c", "echo no such model; exit 3"]

    with run_process(silent, {}) as process, pytest.raises(PeerError, match=r"ended with 3.*\n.*no such model"):
        await wait_until_healthy(process, "http://127.0.0.1:9/health")


def test_a_staged_request_has_the_inputs_of_the_graph() -> None:
    tensors = stage_inputs("milk", "")

    assert {name: array.shape for name, array in tensors.items()} == {
        "QUERY": (1, 1),
        "USER_ID": (1, 1),
        "OPTIONS": (1, 1),
    }
    assert tensors["QUERY"][0, 0] == b"milk"


def test_a_staged_answer_leaves_out_padding() -> None:
    tensors: dict[str, Any] = {
        "ITEM_ID": np.array([[b"i1", b""]], np.object_),
        "SCORE": np.array([[0.5, 0.0]], np.float32),
        "ITEM": np.array([[b'{"fields": {"title": "Milk"}}', b""]], np.object_),
    }

    assert parse_items(tensors) == [{"item_id": "i1", "score": 0.5, "title": "Milk"}]
