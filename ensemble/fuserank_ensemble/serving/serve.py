"""The command `fuserank serve`."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from fuserank_ensemble.bundle import BundleError
from fuserank_ensemble.serving.experiment import ExperimentOption
from fuserank_ensemble.serving.server import Server
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
) -> None:
    """Serve a bundle with a real Triton on this machine, until Ctrl-C.

    Example: fuserank serve build/my-shop --http-port 8000 --grpc-port 8001 --metrics-port 8002
    """
    started = time.monotonic()
    stopping: list[int] = []

    def stop(number: int, frame: object) -> None:
        del frame
        stopping.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        settings = choose_state(bundle, state, state_key_file, state_ttl_days, state_max_entries)
        settings = sample_features(settings, log_features)
        beside = state_folder(bundle)
        promoted = beside / PROMOTED if beside else None
        served = read_promoted(promoted, bundle) if promoted else bundle
        ports = Endpoints(host, http_port, grpc_port, metrics_port)
        key_file = choose_key_file(bundle, state_key_file)
        server = Server(served, ports, target, verbose, settings, experiment, promoted, key_file, without or ())
    except (ServerError, BundleError, StateError) as error:
        _fail(error)
    if served != bundle:
        typer.echo(f"{served} was promoted over {bundle}; what was promoted is forgotten without {promoted}")
    try:
        server.start()
        typer.echo(
            f"bundle {server.bundle.id} ready after {time.monotonic() - started:.1f} s: "
            f"gRPC {host}:{grpc_port}, HTTP {host}:{http_port}, metrics {host}:{metrics_port}/metrics"
        )
        typer.echo(f"events are kept in {settings.address}" if settings else "no events are kept: see --state")
        _wait(server, lambda: bool(stopping))
    except ServerError as error:
        _fail(error)
    finally:
        server.stop()


def _wait(server: Server, stopping: Callable[[], bool]) -> None:
    while not stopping():
        if not server.is_alive():
            raise ServerError("the server has stopped by itself; run again with --verbose to see its log")
        if dead := server.dead_stages():
            raise ServerError(
                f"the process of stage {', '.join(dead)} has died, and requests fail; start the server again"
            )
        time.sleep(0.5)


def _fail(error: Exception) -> None:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1)
