"""Reading a log takes memory for the columns that are kept, whatever else the file holds."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd

from fuserank_export.sources import EVENTS, read_interactions

NOW = 1_700_000_000
CATALOG = [str(number) for number in range(1_000)]
# Seven columns of 4 bytes, the time's 8, the event's 1; the order by time, and at most one column twice, make about
# 60; the column that is not read has over 200.
BYTES_A_ROW = 100


def peak(path):
    tracemalloc.start()
    log = read_interactions(path, CATALOG, now=NOW, chunk_rows=5_000)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return len(log), found


def test_memory_grows_with_kept_columns_only(tmp_path):
    draw = np.random.default_rng(0)
    measured = []
    for rows in (40_000, 160_000):
        frame = pd.DataFrame(
            {
                "user_id": draw.integers(0, 500, rows),
                "item_id": draw.integers(0, 1_000, rows),
                "event": np.array(EVENTS)[draw.integers(0, 5, rows)],
                "timestamp": NOW - draw.integers(0, 10**7, rows),
                "agent": [f"{'a browser of a long name ' * 8}{i}" for i in range(rows)],  # 200 bytes, not read
            }
        )
        path = tmp_path / f"{rows}.parquet"
        frame.to_parquet(path, row_group_size=5_000)
        measured.append(peak(path))
    (few, small), (many, large) = measured
    assert (few, many) == (40_000, 160_000)
    each = (large - small) / (many - few)
    print(f"{each:.0f} bytes for each further row")
    assert 25 < each < BYTES_A_ROW
