"""A small query encoder is taught at the export, held to the full one, and carried by what is made of the bundle."""

from __future__ import annotations

import json

import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_export.query_encoder import choose, gate
from support.exporting import export_quickly

pytestmark = pytest.mark.usefixtures("one_thread")


def export(shop, encoder, out, setting, **bounds):
    """Exports a shop with few texts to learn from, and a gate of these bounds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choose, "TEXTS", 3_000)
        patch.setattr(choose, "GATE_QUERIES", 60)
        patch.setattr(gate, "MAX_LOSS", dict.fromkeys(gate.MAX_LOSS, bounds.get("loss", 10.0)))
        patch.setattr(gate, "MIN_OVERLAP", dict.fromkeys(gate.MAX_LOSS, 0.0))
        files = {"text_template": "{title} | {category}", "query_encoder": setting}
        return export_quickly(shop.catalog, encoder, out, interactions=shop.interactions, **files)


@pytest.fixture(scope="module")
def bundle(tiny_shop, tiny_encoder, tmp_path_factory):
    return Bundle.open(export(tiny_shop, tiny_encoder, tmp_path_factory.mktemp("distilled") / "shop", "distilled"))


def test_first(bundle):
    print(json.dumps(bundle.manifest["query_encoder"], indent=1))
    answer = LocalGraph(bundle).search("goat cheese")
    print(answer["ITEM_ID"], answer["STATUS"])
