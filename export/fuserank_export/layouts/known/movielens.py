"""MovieLens: films, and the ratings that people gave them.

The columns are those of https://files.grouplens.org/datasets/movielens/ml-latest-README.html. The files of the older
sets, ratings.dat and movies.dat (1M, 10M) and u.data (100K), have no header.
"""

from __future__ import annotations

from fuserank_export.layouts.layout import Headless, Layout
from fuserank_export.layouts.mapping import FileMapping, LogMapping

LAYOUTS = (
    Layout(
        name="movielens-movies",
        title="MovieLens' films",
        kind="catalog",
        signatures=(("movieId", "title", "genres"),),
        headless=(Headless(("movieId", "title", "genres"), (r"\d+", r".*\(\d{4}(?:[-–]\d{0,4})?\).*", r"[^,;]+")),),
        mapping=FileMapping(
            columns={"item_id": "movieId", "title": "title", "genre": "genres"},
            values={"genre": {"(no genres listed)": ""}},
            split={"genre": "|"},
        ),
        explained="genres are a list that can be filtered on",
    ),
    Layout(
        name="movielens-ratings",
        title="MovieLens' ratings",
        kind="interactions",
        signatures=(("userId", "movieId", "rating", "timestamp"),),
        headless=(
            Headless(("userId", "movieId", "rating", "timestamp"), (r"\d+", r"\d+", r"[0-5](?:\.[05])?", r"\d{9,10}")),
        ),
        mapping=LogMapping(
            columns={"user_id": "userId", "item_id": "movieId", "timestamp": "timestamp", "value": "rating"},
            event="rating",
        ),
        explained="each row is a rating of 0.5 to 5",
    ),
)
