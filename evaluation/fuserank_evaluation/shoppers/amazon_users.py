"""Amazon's queries on the same shop with made purchases, asked by users who buy other things."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.datasets.cases import SEED
from fuserank_evaluation.datasets.esci import EXACT, EsciQueries
from fuserank_evaluation.datasets.made_log import MadeLog, MadeUsers, make_log
from fuserank_evaluation.progress import ProgressCallback, ignore_progress
from fuserank_evaluation.shoppers.amazon import SHOP, judged_by_gain
from fuserank_evaluation.shoppers.answers import Product
from fuserank_evaluation.shoppers.personal import personal_figures
from fuserank_export.builder.bundle import export_bundle
from fuserank_export.builder.options import EncoderOptions, InputFiles, OutputOptions, RankerOptions
from fuserank_export.progress import Progress

USERS = MadeUsers(count=500, least=10, most=40, days=365, event="purchase")
STRANGERS = 5  # who ask each query: there are few queries
LEAST_GROUP, MOST_GROUP = 20, 200  # items whose title has a word, for it to be somebody's taste


def open_shop(encoder: str, progress: Progress, users: MadeUsers = USERS) -> tuple[Product, MadeLog]:
    """Exports the shop that `amazon.open_shop` made with a made log, opens the bundle, and returns it with the log."""
    catalog, interactions = SHOP / "catalog.jsonl", SHOP / "interactions.parquet"
    records = [json.loads(line) for line in catalog.read_text("utf-8").splitlines()]
    item_ids = np.asarray([record["item_id"] for record in records], object)
    log = make_log(item_ids, title_groups([record["title"] for record in records]), np.ones(len(records)), users)
    log.write(interactions)
    export_bundle(
        inputs=InputFiles(catalog=catalog, interactions=interactions),
        encoder=EncoderOptions(source=encoder),
        ranker=RankerOptions(quality="quick"),
        # The texts are those of the shop without a log: they need not be embedded again.
        out=OutputOptions(folder=SHOP / "users", force=True, vector_cache=SHOP / "vectors"),
        progress=progress,
    )
    return Product.open(Bundle.open(SHOP / "users", verify=())), log


def title_groups(titles: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Returns the rows of the items whose title has a word, for each word of neither too few nor too many titles."""
    vectorizer = CountVectorizer(
        binary=True,
        min_df=LEAST_GROUP,
        max_df=MOST_GROUP,
        analyzer=lambda title: re.findall("[a-z]{3,}", title.lower()),
    )
    by_word = vectorizer.fit_transform(titles).tocsc()
    words = vectorizer.get_feature_names_out()
    return {str(word): np.sort(by_word[:, i].indices).astype(np.int64) for i, word in enumerate(words)}


def draw_strangers(log: MadeLog, queries: EsciQueries, seed: int = SEED) -> dict[str, list[str]]:
    """Draws users for each query whose tastes are no words of it, and who had none of its exact matches.

    Returns:
        Ids of `STRANGERS` different users, by query id.
    """
    draw = np.random.default_rng(seed)
    had = {str(user): set(items) for user, items in log.events.groupby("user_id")["item_id"]}
    users = {}
    for query, text in zip(queries.ids, queries.texts, strict=True):
        exact = {item for item, grade in queries.grades[query].items() if grade == EXACT}
        words = set(text.lower().split())
        strangers = [user for user in sorted(had) if not (had[user] & exact or words & set(log.tastes[user]))]
        users[query] = draw.choice(strangers, STRANGERS, replace=False).tolist()
    return users


def figures(
    product: Product, log: MadeLog, queries: EsciQueries, on_progress: ProgressCallback = ignore_progress
) -> dict[str, float]:
    """Returns the figures of the queries, each asked by some who buy other things."""
    users = draw_strangers(log, queries)
    measured = personal_figures(product, judged_by_gain(queries), users, on_progress)
    return {f"esci_{name}": value for name, value in measured.items()}
