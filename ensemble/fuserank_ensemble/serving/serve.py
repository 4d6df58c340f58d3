"""The command `fuserank serve`."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from fuserank_ensemble.bundle import BundleError
from fuserank_ensemble.serving.experiment import ExperimentOption
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.serving.signature import TrustedKeyOption
from fuserank_ensemble.serving.state import (
    FeatureShareOption,
    StateKeyOption,
    StateOption,
    StateSizeOption,
    StateTtlOption,
    choose_key_file,
    choose_state,
    sample_features,
    state_folder,
)
from fuserank_ensemble.serving.switch.promoted import PROMOTED, read_promoted
from fuserank_ensemble.serving.target_option import TargetOption
from fuserank_ensemble.serving.tritonserver import Endpoints, ServerError
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import MOST_ENTRIES

LOOK_SECONDS = 0.5
STOPPED_SECONDS = 8.0  # that a stage's process may stand still, as one does that a debugger or an operator holds
DEAD_SECONDS = 1.0  # for the requests in flight of a server whose stage has died
# What dies so often would die again.
MOST_DEATHS, DEATHS_WITHIN_SECONDS = 3, 60.0


def serve(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(help="KServe v2 over HTTP; health.")] = 8000,
    grpc_port: Annotated[int, typer.Option(help="KServe v2 over gRPC.")] = 8001,
    metrics_port: Annotated[int, typer.Option(help="Prometheus metrics.")] = 8002,
    target: TargetOption = "single_process",
    verbose: Annotated[bool, typer.Option(help="Show Triton's log.")] = False,
    state: StateOption = None,
    state_key_file: StateKeyOption = None,
    experiment: ExperimentOption = None,
    state_ttl_days: StateTtlOption = None,
    state_max_entries: StateSizeOption = MOST_ENTRIES,
    log_features: FeatureShareOption = 0.0,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="A model that is not served: similar, suggest, embed, rerank, or of a state record, catalog or "
            "profile; may be given several times. Each takes one or two processes.",
        ),
    ] = None,
    shared_memory: Annotated[
        bool,
        typer.Option(
            "--shared-memory",
            help="Let callers register this machine's shared memory, as `fuserank bench --shared-memory` does; "
            "whoever reaches a port then can.",
        ),
    ] = False,
    trusted_key: TrustedKeyOption = None,
) -> None:
    """Serve a bundle with a real Triton on this machine, until Ctrl-C.

    Example: fuserank serve build/my-shop --http-port 8000 --grpc-port 8001 --metrics-port 8002
    """
    stopping: list[int] = []

    def stop(number: int, frame: object) -> None:
        del frame
        stopping.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    ports = Endpoints(host, http_port, grpc_port, metrics_port)

    def open_server() -> Server:
        settings = choose_state(bundle, state, state_key_file, state_ttl_days, state_max_entries)
        settings = sample_features(settings, log_features)
        beside = state_folder(bundle)
        promoted = beside / PROMOTED if beside else None
        served = read_promoted(promoted, bundle) if promoted else bundle
        key_file = choose_key_file(bundle, state_key_file)
        server = Server(
            served,
            ports,
            target,
            verbose,
            settings,
            experiment,
            promoted,
            key_file,
            without or (),
            shared_memory=shared_memory,
            trusted_key=trusted_key,
        )
        if served != bundle:
            typer.echo(f"{served} was promoted over {bundle}; what was promoted is forgotten without {promoted}")
        return server

    try:
        supervise(open_server, lambda: bool(stopping))
    except (ServerError, BundleError, StateError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def supervise(open_server: Callable[[], Server], stopping: Callable[[], bool]) -> None:
    """Runs a server until it is to stop, and starts it again where one of its processes has died.

    Args:
        open_server: Makes the server, not started; it reads anew which bundle was promoted.
        stopping: Whether it is to stop.

    Raises:
        ServerError: It could not be started, or its processes died too often.
        BundleError: See `Server`.
        StateError: See `Server`.
    """
    deaths: deque[float] = deque(maxlen=MOST_DEATHS)
    while not stopping():
        started = time.monotonic()
        server = open_server()
        try:
            server.start()
            seconds, ports, state = time.monotonic() - started, server.endpoints, server.state
            typer.echo(
                f"bundle {server.bundle.id} ready after {seconds:.1f} s: gRPC {ports.host}:{ports.grpc}, "
                f"HTTP {ports.host}:{ports.http}, metrics {ports.host}:{ports.metrics}/metrics"
            )
            if not deaths:
                typer.echo(f"events are kept in {state.address}" if state else "no events are kept: see --state")
            death = _wait_for_death(server, stopping)
        except BaseException:
            server.stop()
            raise
        server.stop(DEAD_SECONDS if death else None)
        if death is None:
            return
        deaths.append(time.monotonic())
        if len(deaths) == MOST_DEATHS and deaths[-1] - deaths[0] < DEATHS_WITHIN_SECONDS:
            raise ServerError(
                f"{death}, {MOST_DEATHS} times within {DEATHS_WITHIN_SECONDS:.0f} s; run again "
                "with --verbose to see the log"
            )
        typer.echo(f"{death}; the server starts again", err=True)


def _wait_for_death(server: Server, stopping: Callable[[], bool]) -> str | None:
    """Returns which process of a server has died, or stands still for long; None where it is to stop."""
    moving = time.monotonic()
    while not stopping():
        if not server.is_alive():
            return "tritonserver has stopped by itself"
        if dead := server.dead_stages():
            # A tritonserver that dies takes its stages with it, and they may be gone before it is.
            time.sleep(LOOK_SECONDS)
            if server.is_alive():
                return f"the process of stage {', '.join(dead)} has died, and requests fail"
            continue
        if not (stopped := server.stopped_stages()):
            moving = time.monotonic()
        elif time.monotonic() - moving > STOPPED_SECONDS:
            return f"the process of stage {', '.join(stopped)} has stood still for {STOPPED_SECONDS:.0f} s"
        time.sleep(LOOK_SECONDS)
    return None
