"""Reading a log takes memory for the columns that are kept, and not for other columns of the file."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd

from fuserank_ensemble.interactions.events import EVENTS
from fuserank_export.sources import read_interactions

NOW = 1_700_000_000
CATALOG = [str(number) for number in range(1_000)]
# Seven columns of 4 bytes, 8 of the timestamp and 1 of the event, with the order by time and one column twice, are
# about 60 bytes; the column that is not read has over 200.
MAX_BYTES_A_ROW = 100


def read_with_peak(path):
    tracemalloc.start()
    log = read_interactions(path, CATALOG, now=NOW, chunk_rows=5_000)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return len(log), peak_bytes


def test_memory_grows_with_kept_columns_only(tmp_path):
    draw = np.random.default_rng(0)
    measurements = []
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
        measurements.append(read_with_peak(path))
    (few, small), (many, large) = measurements
    assert (few, many) == (40_000, 160_000)
    bytes_a_row = (large - small) / (many - few)
    print(f"{bytes_a_row:.0f} bytes for each further row")
    assert 25 < bytes_a_row < MAX_BYTES_A_ROW
