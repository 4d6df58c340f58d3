"""One small shop, exported once for the whole session and served once by each target that a CPU can run.

What serves it ends with the last test of this folder (scope `package`): idle servers cost the other tests their time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from fuserank.client import Client
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.spec import ENGINE_KINDS, Target, target_named
from fuserank_ensemble.state.settings import StateSettings
from fuserank_export.builder.options import GraphOptions, RankerOptions
from fuserank_export.training.fitting.settings import FitSettings
from support import small_shops
from support.busy_machine import PATIENCE, lengthen_queues
from support.once import made_once
from support.running import ENCODER, endpoints, url
from support.small_shops import Shop

CPU_TARGETS = [target for target, kind in ENGINE_KINDS.items() if kind == "cpu"]
# Titles repeat among brands and prices: texts are embedded once, and items of one text must not be lost.
TEMPLATE = "{title} | {category}"


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return small_shops.grocery(tmp_path_factory.mktemp("grocery"))


@pytest.fixture(scope="session")
def bundle_root(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.exporting import export_quickly, rank_all_kinds

    def export(folder: Path) -> None:
        out = export_quickly(
            shop.catalog,
            ENCODER,
            folder / "my shop",
            interactions=shop.interactions,
            ranker=RankerOptions(quality="quick", cases=150, fit=FitSettings(epochs=2)),
            graph=GraphOptions(),
            text_template=TEMPLATE,
        )
        # What a request weighs heads by shows only where the ranker orders.
        rank_all_kinds(out, sorted({*Bundle.open(out, verify=()).spec.ranked_kinds, "both"}))
        lengthen_queues(out)

    # A space in the path: pytriton splits its arguments at spaces unless it is kept from doing so.
    return made_once(tmp_path_factory, "grocery-bundle", export) / "my shop"


@pytest.fixture(scope="session")
def bundle(bundle_root: Path) -> Bundle:
    return Bundle.open(bundle_root)


@pytest.fixture(scope="session")
def first_day_root(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.exporting import export_quickly

    def export(folder: Path) -> None:
        export_quickly(small_shops.first_day(folder).catalog, tiny_encoder, folder / "bundle")

    return made_once(tmp_path_factory, "first-day-bundle", export) / "bundle"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs what needs a target against each; for the whole folder, so that each server starts once."""
    if "target" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("targets")
        metafunc.parametrize("target", marker.args if marker else CPU_TARGETS, indirect=True, scope="package")


@pytest.fixture(scope="package")
def target(request: pytest.FixtureRequest) -> Target:
    """What runs the graph: see `fuserank_ensemble.spec.TARGETS`."""
    return target_named(request.param)


@pytest.fixture(scope="package")
def server(bundle_root: Path, target: Target) -> Iterator[Server]:
    with Server(bundle_root, endpoints(), target) as running:
        yield running


@pytest.fixture(scope="package")
def client(server: Server) -> Iterator[Client]:
    with Client(url(server), timeout=PATIENCE) as connected:
        yield connected


@pytest.fixture(scope="package")
def raw(server: Server) -> Iterator[triton.InferenceServerClient]:
    """tritonclient, which sends whatever it is given."""
    with triton.InferenceServerClient(url(server)) as connected:
        yield connected


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:{tmp_path_factory.mktemp('state') / 'log.sqlite'}"


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment whose arms answer alike, so that other tests do not see it."""
    path = tmp_path_factory.mktemp("experiment") / "ab.toml"
    path.write_text("name = 'alike'\n" + "".join(f"[[arms]]\nname = '{arm}'\nshare = 0.5\n" for arm in ("a", "b")))
    return path


@pytest.fixture(scope="package")
def live_server(bundle_root: Path, place: str, experiment: Path) -> Iterator[Server]:
    """A server with a log that keeps what the ranker read, of target `single_process`."""
    settings = StateSettings(place, feature_share=1.0)
    with Server(bundle_root, endpoints(), state=settings, experiment=experiment) as running:
        yield running


@pytest.fixture(scope="session")
def graph(bundle: Bundle) -> LocalGraph:
    """The same stages in this process, without Triton."""
    return LocalGraph(bundle)
