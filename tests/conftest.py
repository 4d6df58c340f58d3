"""A tiny shop, its encoder and its bundle, made once a session for whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support import tiny_shop as shops
from support.tiny_shop import TinyShop

# The machines are shared: an example that takes long says nothing of the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


@pytest.fixture(scope="session")
def tiny_shop(tmp_path_factory: pytest.TempPathFactory) -> TinyShop:
    return shops.write_shop(tmp_path_factory.mktemp("tiny-shop"))


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
    return shops.write_encoder(tmp_path_factory.mktemp("tiny-encoder"))


@pytest.fixture(scope="session")
def tiny_bundle(tiny_shop: TinyShop, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's bundle. Tests that change it work on a copy."""
    from support.exporting import export_quickly, rank_all_kinds

    bundle = export_quickly(
        tiny_shop.catalog,
        tiny_encoder,
        tmp_path_factory.mktemp("bundles") / "tiny",
        interactions=tiny_shop.interactions,
        text_template="{title} | {category}",
    )
    return rank_all_kinds(bundle)


@pytest.fixture(scope="session")
def tiny_tower(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shops.write_text_tower(tmp_path_factory.mktemp("tiny-tower"), tiny_encoder)


@pytest.fixture(scope="session")
def tower_bundle(
    tiny_shop: TinyShop, tiny_encoder: Path, tiny_tower: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The shop's bundle with a text tower. Tests that change it work on a copy."""
    from fuserank_export.builder.options import GraphOptions, RankerOptions
    from support.exporting import FEW_STEPS, export_quickly, rank_all_kinds

    bundle = export_quickly(
        tiny_shop.catalog,
        tiny_encoder,
        tmp_path_factory.mktemp("bundles") / "tower",
        interactions=tiny_shop.interactions,
        ranker=RankerOptions(text_tower=str(tiny_tower), fit=FEW_STEPS),
        graph=GraphOptions(text_candidates=8),
        text_template="{title} | {category}",
    )
    return rank_all_kinds(bundle)
