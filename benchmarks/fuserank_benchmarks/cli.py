"""The command line `python -m fuserank_benchmarks`: what the Makefile's rules `bench…` run.

Each command imports what it runs, so that light ones do not wait for torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fuserank_benchmarks.export_cost.shapes import LOADS, SHAPES
from fuserank_benchmarks.inputs.vectors import SIZES
from fuserank_benchmarks.peers.kinds import KINDS, Kind
from fuserank_benchmarks.speed.options import Device, SpeedOptions
from fuserank_export.builder.options import Quality

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measure speed; figures go to build/reports.",
)
prepare = typer.Typer(no_args_is_help=True, help="Write what the measurements need.")
app.add_typer(prepare, name="prepare")

BundleOption = Annotated[Path, typer.Option("--bundle", help="The bundle to measure.")]
ShopOption = Annotated[Path, typer.Option("--shop", help="Folder of the catalogue's and the log's Parquet files.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder to write.")]
BUNDLE, SHOP = Path("build/demo"), Path("build/complete-journey")
HYBRID = Path("build/peers/hybrid")


@app.command()
def demo(bundle: BundleOption = BUNDLE, shop: ShopOption = SHOP) -> None:
    """Three questions to a served bundle, then its latency and throughput: report `demo`."""
    from fuserank_benchmarks.demo import run_demo

    run_demo(bundle, shop)


@app.command()
def speed(
    bundle: Annotated[Path, typer.Option(help="A bundle without a text tower.")] = BUNDLE,
    tower: Annotated[Path, typer.Option(help="A bundle with one; may be missing.")] = Path("build/bench/bundle"),
    shallow: Annotated[
        Path, typer.Option(help="A bundle with a tower of one layer, distilled from the other; may be missing.")
    ] = Path("build/bench/shallow"),
    shop: ShopOption = SHOP,
    peers: Annotated[Path, typer.Option(help="What `make bench-peers` wrote; may be missing.")] = Path("build/peers"),
    device: Annotated[Device, typer.Option(help="What runs the engines; cuda prints the roofline model, too.")] = "cpu",
    quick: Annotated[bool, typer.Option("--quick", help="Ratios only, against the last committed report.")] = False,
) -> None:
    """The whole graph, the machine's ceiling and the peers in interleaved rounds: report `bench`."""
    from fuserank_benchmarks.speed.run import measure_speed

    measure_speed(SpeedOptions(bundle, tower, shallow, shop, peers, device, quick))


@app.command()
def ceiling(
    bundle: BundleOption = BUNDLE,
    shop: ShopOption = SHOP,
    seconds: Annotated[float, typer.Option(help="Seconds of each setting.")] = 1.0,
) -> None:
    """Throughput of a bundle's engines alone in ONNX Runtime, and memory bandwidth; prints JSON."""
    from fuserank_benchmarks.inputs.queries import Load
    from fuserank_benchmarks.speed.ceiling import BareEngines, copy_gigabytes_per_second, dense_bytes, engine_feeds
    from fuserank_ensemble.bundle import Bundle

    opened = Bundle.open(bundle)
    engines = BareEngines(opened, engine_feeds(opened, Load.of_shop(shop)))
    figures = asdict(engines.find_ceiling(seconds))
    figures |= {"copy_gb_per_s": copy_gigabytes_per_second(), "dense_bytes": dense_bytes(opened)}
    Console().print_json(json.dumps(figures))


@app.command()
def roofline(
    bundle: BundleOption = BUNDLE,
    batch: Annotated[list[int], typer.Option(help="Requests of a batch; may be given several times.")] = [1, 8, 32],  # noqa: B006  typer copies it
) -> None:
    """Estimated times of a bundle's stages on GPUs, from their datasheets; prints a table."""
    from fuserank_benchmarks.speed.roofline import assumptions, roofline_table

    console = Console(width=max(130, Console().width))
    console.print(roofline_table(bundle, batch))
    for line in assumptions():
        console.print(line, highlight=False)


@app.command()
def retrieval(
    bundle: BundleOption = BUNDLE,
    shop: ShopOption = SHOP,
    size: Annotated[list[str], typer.Option(help=f"Sizes of the catalogue: {', '.join(SIZES)}.")] = list(SIZES),  # noqa: B006  typer copies it
    build_threads: Annotated[int, typer.Option(help="Threads of building; searches have one.")] = 2,
) -> None:
    """Dense search by size of the catalogue, and the stages `retrieve` and `suggest`: report `retrieval`."""
    from fuserank_benchmarks.retrieval.run import measure_retrieval

    for name in size:
        if name not in SIZES:
            raise typer.BadParameter(f"--size: found {name!r}; allowed: {', '.join(SIZES)}")
    _print_report(measure_retrieval(bundle, shop, size, build_threads, Console()))


@app.command()
def replica(bundle: BundleOption = BUNDLE, shop: ShopOption = SHOP) -> None:
    """CPU time, memory and throughput of a replica on one core: report `replica`."""
    from fuserank_benchmarks.replica import measure_replica

    _print_report(measure_replica(bundle, shop, Console()))


@app.command()
def storefront(
    bundle: BundleOption = BUNDLE,
    shoppers: Annotated[
        Path, typer.Option(help="Users that a visitor may play, as `fuserank export shoppers` writes them.")
    ] = Path("build/demo.shoppers.json"),
) -> None:
    """Bytes of the shop's pages, milliseconds until results are there, and what axe-core finds: report `people`."""
    from fuserank_benchmarks.storefront import measure_storefront

    _print_report(measure_storefront(bundle, shoppers, Console()))


@app.command()
def same_answers(
    bundle: BundleOption = BUNDLE,
    shop: ShopOption = SHOP,
    url: Annotated[str, typer.Option(help="The server's gRPC address.")] = "127.0.0.1:8001",
    requests: Annotated[int, typer.Option(min=1, help="Requests of each kind.")] = 100,
) -> None:
    """Compares the first ten of a server with those of a bundle's FP32 engines on this CPU; fails where they differ."""
    from fuserank.client import Client
    from fuserank_benchmarks.inputs.queries import Load
    from fuserank_benchmarks.same_answers import compare_answers
    from fuserank_ensemble.bundle import Bundle
    from fuserank_ensemble.graph.local import LocalGraph

    with Client(url) as client:
        overlaps = compare_answers(client, LocalGraph(Bundle.open(bundle)), Load.of_shop(shop), requests)
    Console().print_json(data=overlaps)


@app.command()
def evaluate(
    encoder: Annotated[str, typer.Option(help="Hugging Face id or folder of the encoder.")],
    shop: ShopOption = SHOP,
    text_template: Annotated[str, typer.Option(help="Layout of an item's text.")] = "{title} | {category}",
    out: Annotated[Path, typer.Option("--out", help="Folder of the page.")] = Path("build/evaluation"),
) -> None:
    """Seconds and memory of `fuserank evaluate` on the whole log of a shop: report `people`."""
    from fuserank_benchmarks.evaluate import measure_evaluate

    _print_report(measure_evaluate(shop, encoder, text_template, out, Console()))


@app.command()
def export(
    encoder: Annotated[str, typer.Option(help="Hugging Face id or folder of the encoder.")],
    shape: Annotated[
        list[str] | None, typer.Option(help=f"Size of the shop: {', '.join(SHAPES)}; once for each, by default all.")
    ] = None,
    load: Annotated[
        list[str] | None,
        typer.Option(help="quiet, or busy: beside a process that keeps a core busy; by default both."),
    ] = None,
    quality: Annotated[Quality, typer.Option(help="How much the ranker learns from.")] = "full",
    folder: Annotated[Path, typer.Option(help="Where made shops and vectors are kept.")] = Path("build/export-cost"),
) -> None:
    """Seconds and peak memory of `export bundle` by size of the shop: report `export`."""
    from fuserank_benchmarks.export_cost.run import measure_exports

    for option, values, allowed in (("--shape", shape, SHAPES), ("--load", load, LOADS)):
        for value in values or ():
            if value not in allowed:
                raise typer.BadParameter(f"{option}: found {value!r}; allowed: {', '.join(allowed)}")
    _print_report(measure_exports(shape or SHAPES, load or LOADS, encoder, quality, folder, Console()))


@app.command()
def live(
    bundle: BundleOption = BUNDLE,
    shop: ShopOption = SHOP,
    rounds: Annotated[int, typer.Option(help="Windows of each kind, by turns.")] = 6,
    load_only: Annotated[
        bool, typer.Option(help="Only the searches beside events, and the events beside these.")
    ] = False,
) -> None:
    """How soon an event counts, and what recording costs searches beside it: report `live`."""
    from fuserank_benchmarks.live import measure_live

    _print_report(measure_live(bundle, shop, rounds, Console(), load_only))


@app.command()
def reliability(
    bundle: BundleOption = BUNDLE,
    shop: ShopOption = SHOP,
    target: Annotated[
        list[str], typer.Option(help="Targets, in the order in which they are measured; by default both of a CPU.")
    ] = ["single_process", "ensemble_cpu"],  # noqa: B006  typer copies it
    seconds: Annotated[float, typer.Option(min=6, help="Seconds of a step; a target has four, and two bursts.")] = 60.0,
) -> None:
    """Goodput, refusals and recovery beyond the peak, open loop: report `reliability`."""
    from fuserank_benchmarks.reliability.run import measure_overload
    from fuserank_ensemble.spec import target_named

    _print_report(measure_overload(bundle, shop, [target_named(name) for name in target], seconds, Console()))


@app.command()
def planted(bundle: BundleOption = BUNDLE) -> None:
    """How often an item that is stuffed with what people ask for reaches the first page: report `reliability`."""
    from fuserank_benchmarks.reliability.planted import measure_planted

    _print_report(measure_planted(bundle, Console()))


@app.command()
def connections(
    bundle: BundleOption = BUNDLE,
    shop: ShopOption = SHOP,
    count: Annotated[int, typer.Option(min=2, help="Connections whose requests never end.")] = 10_000,
) -> None:
    """What searches see of thousands of connections that never finish a request: report `reliability`."""
    from fuserank_benchmarks.reliability.connections import measure_connections

    _print_report(measure_connections(bundle, shop, count, Console()))


@app.command()
def soak(
    bundle: BundleOption = BUNDLE,
    shop: ShopOption = SHOP,
    minutes: Annotated[float, typer.Option(min=0.5, help="Minutes of load.")] = 30.0,
) -> None:
    """Growth of memory, descriptors and latency under load with events, changes and switches: report `reliability`."""
    from fuserank_benchmarks.reliability.soak import measure_soak

    _print_report(measure_soak(bundle, shop, minutes, Console()))


@app.command()
def hybrid_peer(
    bundle: Annotated[Path, typer.Option(help="A bundle of the shop before its last 28 days.")] = HYBRID / "bundle",
    past: Annotated[Path, typer.Option(help="What `prepare past-shop` wrote.")] = HYBRID / "past",
    shop: ShopOption = SHOP,
    environment: Annotated[Path, typer.Option(help="The peer's virtual environment.")] = Path("build/peers/lancedb"),
    work: Annotated[Path, typer.Option(help="Folder of the peer's inputs, tables, rankers and settings.")] = HYBRID,
    esci: Annotated[Path, typer.Option(help="Folder of Amazon's queries; left out where there is none.")] = Path(
        "../shared/data/esci-us"
    ),
    esci_bundle: Annotated[
        Path, typer.Option(help="A bundle of their catalogue, as `make eval` exports it; may be missing.")
    ] = Path("build/eval/esci/bundle"),
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in which both take turns.")] = 5,
    seconds: Annotated[float, typer.Option(help="Seconds of one measurement.")] = 4.0,
    cases: Annotated[int, typer.Option(min=2, help="Judged searches at most.")] = 3_000,
    again: Annotated[bool, typer.Option("--again", help="Look for the peer's best settings anew.")] = False,
) -> None:
    """LanceDB with history and LightGBM in the caller, by turns with the whole graph: report `hybrid`."""
    from fuserank_benchmarks.hybrid.peer import LanceFolder
    from fuserank_benchmarks.peers.process import PeerError

    try:
        LanceFolder(work, environment).python  # noqa: B018  fails before torch is waited for
        from fuserank_benchmarks.hybrid.run import HybridOptions, measure_hybrid_peer

        options = HybridOptions(bundle, past, shop, environment, work, esci, esci_bundle, rounds, seconds, cases, again)
        _print_report(measure_hybrid_peer(options, Console(width=160)))
    except (PeerError, ValueError, FileNotFoundError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


@app.command()
def tune_peers(
    inputs: Annotated[Path, typer.Option(help="What `prepare peers` wrote.")],
    environments: Annotated[Path, typer.Option(help="Folder of the peers' virtual environments.")],
    out: Annotated[Path, typer.Option(help="JSON file to write; what it holds of other peers is kept.")],
    shop: ShopOption = SHOP,
    peer: Annotated[Kind | None, typer.Option(help="Only this one.")] = None,
    seconds: Annotated[float, typer.Option(help="Seconds of each trial.")] = 2.0,
    rounds: Annotated[int, typer.Option(help="Trials of each setting; more where the machine is busy.")] = 1,
) -> None:
    """Try the peers' settings with and without reranking, and keep the fastest."""
    from fuserank_benchmarks.peers.tune import write_tuning

    write_tuning(inputs, environments, shop, out, [peer] if peer else KINDS, seconds, rounds)


@prepare.command()
def peers(
    encoder: Annotated[Path, typer.Option(help="Folder of the bundle's encoder.")],
    out: OutOption,
    bundle: BundleOption = BUNDLE,
    shop: ShopOption = SHOP,
    text_tower: Annotated[Path | None, typer.Option(help="Folder of a cross-encoder with one logit.")] = None,
) -> None:
    """The peers' inputs: catalogue, habits and models as plain files."""
    from fuserank_benchmarks.inputs.queries import ShopVocabulary
    from fuserank_benchmarks.peers.prepare import write_inputs

    write_inputs(bundle, ShopVocabulary.read(shop).users, encoder, text_tower, out)


@prepare.command()
def past_shop(out: OutOption, shop: ShopOption = SHOP) -> None:
    """The shop as it was before its last 28 days, which are then judged."""
    from fuserank_benchmarks.hybrid.groceries import write_past_shop

    write_past_shop(shop, out)


@prepare.command()
def judged_types(out: OutOption, shop: ShopOption = SHOP) -> None:
    """Judged queries for text towers: names of product types, answered by their items."""
    from fuserank_benchmarks.inputs.product_types import write_judged_types

    write_judged_types(shop, out)


@prepare.command()
def resized_bundle(
    items: Annotated[int, typer.Option(help="Items of the new bundle.")],
    out: OutOption,
    bundle: BundleOption = BUNDLE,
    shop: ShopOption = SHOP,
) -> None:
    """A bundle of another size, with a bundle's engines."""
    from fuserank_benchmarks.inputs.resized_bundle import write_resized_bundle
    from fuserank_export.progress import Progress

    write_resized_bundle(bundle, shop, items, out, Progress())


def _print_report(path: Path) -> None:
    Console().print(f"report: {path}", highlight=False)
