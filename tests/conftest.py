"""A tiny shop, its encoder and its bundles, made once for all processes of a run, and what runs in which process."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from fuserank_ensemble.state import keys
from fuserank_ensemble.state import settings as state_settings
from support import tiny_shop as shops
from support.keys import TEST_SECRET
from support.once import made_once
from support.tiny_shop import TinyShop

# Every log and bundle of a run has one key: what a test exports and what it serves that with need not know each other.
keys.new_secret = state_settings.new_secret = lambda: TEST_SECRET

# The machines are shared: an example that takes long says nothing of the code.
# In CI all changes are judged by the same examples: one that chance finds is no fault of the change it refuses.
settings.register_profile(
    "shared", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("shared")

# The tests that lie in such a folder share servers, so they run in one process.
SHARE_SERVERS = ("tests/functional", "tests/k8s")


class SharedServersScheduling(LoadScopeScheduling):
    """Hands a process whole files, or whole folders where these share servers."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(nodeid.split("::", maxsplit=1)[0])
        folder = file.parent.as_posix()
        return folder if folder in SHARE_SERVERS else file.as_posix()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keeps the tests and what they import out of the collector's rounds: exports ask for several."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-gpu", action="store_true", help="a test marked gpu that is skipped fails")
    parser.addoption("--pictures", metavar="FOLDER", help="write pictures of the shop's pages there")
    parser.addoption(
        "--shop-address", metavar="URL", help="whose pages: those of `make shop`, in place of a test's own"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """On a GPU machine a skipped test would pass for one that ran on the GPU."""
    report = yield
    if report.skipped and item.get_closest_marker("gpu") and item.config.getoption("--require-gpu"):
        report.outcome, report.longrepr = "failed", f"--require-gpu: the test was skipped: {report.longrepr}"
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return SharedServersScheduling(config, log)


@pytest.fixture(scope="session")
def tiny_shop(tmp_path_factory: pytest.TempPathFactory) -> TinyShop:
    return shops.make_shop(made_once(tmp_path_factory, "tiny-shop", shops.write_shop))[0]


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """Networks as small as the tests' only wait for each other on several threads, most of all beside a server."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_encoder(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "tiny-encoder", shops.write_encoder)


@pytest.fixture(scope="session")
def tiny_bundle(tiny_shop: TinyShop, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's bundle. Tests that change it work on a copy."""
    from fuserank_export.builder.options import GraphOptions
    from support.exporting import WELL, export_quickly, rank_all_kinds

    def export(folder: Path) -> None:
        bundle = export_quickly(
            tiny_shop.catalog,
            tiny_encoder,
            folder / "tiny",
            interactions=tiny_shop.interactions,
            ranker=WELL,
            graph=GraphOptions(),
            text_template="{title} | {category}",
        )
        rank_all_kinds(bundle)

    return made_once(tmp_path_factory, "tiny-bundle", export) / "tiny"


@pytest.fixture(scope="session")
def tiny_tower(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "tiny-tower", lambda folder: shops.write_text_tower(folder, tiny_encoder))


@pytest.fixture(scope="session")
def tower_bundle(
    tiny_shop: TinyShop, tiny_encoder: Path, tiny_tower: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The shop's bundle with a text tower. Tests that change it work on a copy."""
    from fuserank_export.builder.options import GraphOptions
    from support.exporting import WELL, export_quickly, rank_all_kinds

    def export(folder: Path) -> None:
        bundle = export_quickly(
            tiny_shop.catalog,
            tiny_encoder,
            folder / "tower",
            interactions=tiny_shop.interactions,
            ranker=replace(WELL, text_tower=str(tiny_tower)),
            graph=GraphOptions(text_candidates=8),
            text_template="{title} | {category}",
        )
        rank_all_kinds(bundle)

    return made_once(tmp_path_factory, "tower-bundle", export) / "tower"
