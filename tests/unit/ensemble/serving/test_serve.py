"""A server whose processes die is started again, unless they die again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from fuserank_ensemble.serving import serve
from fuserank_ensemble.serving.tritonserver import Endpoints, ServerError


class FakeServer:
    """A server that dies of what it is told, or lives."""

    endpoints, state, bundle = Endpoints(), None, SimpleNamespace(id="b-1")

    def __init__(self, death: str | None, stopped: Sequence[list[str]] = ()) -> None:
        self.death, self.calls, self.stopped = death, list[Any](), list(stopped)

    def start(self) -> None:
        self.calls.append("start")

    def is_alive(self) -> bool:
        return self.death != "tritonserver"

    def dead_stages(self) -> list[str]:
        return [self.death] if self.death else []

    def stopped_stages(self) -> list[str]:
        return self.stopped.pop(0) if self.stopped else []

    def stop(self, patience: float | None = None) -> None:
        self.calls.append(("stop", patience))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moments = [0.0]
    monkeypatch.setattr(serve, "time", SimpleNamespace(monotonic=lambda: moments[0], sleep=lambda seconds: None))
    return moments


def opener(servers: list[FakeServer]) -> tuple[Callable[[], Any], list[FakeServer]]:
    opened: list[FakeServer] = []

    def open_server() -> Any:
        opened.append(servers[len(opened)])
        return opened[-1]

    return open_server, opened


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("death", ["retrieve", "tritonserver"])
def test_a_server_follows_one_whose_process_died(death, capsys):
    open_server, opened = opener([FakeServer(death), FakeServer(None)])
    serve.supervise(open_server, lambda: len(opened) == 2)
    assert opened[0].calls == ["start", ("stop", serve.DEAD_SECONDS)]
    assert opened[1].calls == ["start", ("stop", None)]
    printed = capsys.readouterr()
    assert printed.out.count(" ready after ") == 2
    assert death in printed.err


@pytest.mark.usefixtures("clock")
def test_stages_that_die_with_their_tritonserver_are_not_called_the_cause(capsys):
    dying = FakeServer("retrieve")
    alive = iter([True, False, False])
    dying.is_alive = lambda: next(alive)  # type: ignore[method-assign]
    open_server, opened = opener([dying, FakeServer(None)])
    serve.supervise(open_server, lambda: len(opened) == 2)
    assert capsys.readouterr().err == "tritonserver has stopped by itself; the server starts again\n"


def test_a_stage_that_stands_still_is_waited_for_and_then_started_again(clock, monkeypatch, capsys):
    monkeypatch.setattr(serve.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + 1.0))
    short, long = [["search"]] * 7, [["search"]] * 9
    open_server, opened = opener([FakeServer(None, [*short, [], *long]), FakeServer(None)])
    serve.supervise(open_server, lambda: len(opened) == 2)
    assert opened[0].stopped == [], "what goes on again is left alone"
    assert opened[0].calls == ["start", ("stop", serve.DEAD_SECONDS)]
    assert "stage search has stood still for 8 s; the server starts again" in capsys.readouterr().err


def test_deaths_within_a_minute_end_it(clock):
    open_server, opened = opener([FakeServer("retrieve")] * 9)
    with pytest.raises(ServerError, match=r"stage retrieve has died.*, 3 times within 60 s; run again"):
        serve.supervise(open_server, lambda: False)
    assert len(opened) == serve.MOST_DEATHS


def test_deaths_far_apart_do_not(clock):
    open_server, opened = opener([FakeServer("retrieve")] * 9)

    def stopping() -> bool:
        clock[0] += 21.0
        return len(opened) == 9

    serve.supervise(open_server, stopping)
    assert len(opened) == 9


@pytest.mark.usefixtures("clock")
def test_a_server_that_cannot_start_is_stopped_and_not_tried_again():
    server = FakeServer(None)

    def refuse() -> None:
        raise ServerError("port 8000: in use")

    server.start = refuse  # type: ignore[method-assign]
    open_server, opened = opener([server])
    with pytest.raises(ServerError, match="port 8000"):
        serve.supervise(open_server, lambda: False)
    assert len(opened) == 1
    assert server.calls == [("stop", None)]
