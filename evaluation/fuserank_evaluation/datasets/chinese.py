"""A Chinese shop of 200 items whose 60 queries were written and judged by hand; see `chinese_shop/README.md`."""

from __future__ import annotations

from pathlib import Path

from fuserank_ensemble.spec import GraphSpec
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.judged import JudgedQueries, JudgedShop
from fuserank_export.sources.judgements import read_judgements

FOLDER = Path(__file__).parent / "chinese_shop"


def open_chinese_shop(encoder: BundleEncoder, folder: Path) -> JudgedShop:
    """Reads the shop and writes its index into a folder."""
    catalog, ids = encoder.index_catalog(
        FOLDER / "catalog.jsonl", GraphSpec.text_template, GraphSpec().lexical_fields, folder
    )
    judgements = read_judgements(FOLDER / "queries.tsv", FOLDER / "judgements.tsv", ids)
    grades = {
        query: {ids[row]: int(grade) for row, grade in by_row.items()} for query, by_row in judgements.grades.items()
    }
    return JudgedShop(catalog, ids, JudgedQueries(judgements.queries, grades))
