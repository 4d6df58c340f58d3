"""The ceiling's batches hold every request, joined only with requests of equal shapes."""

import numpy as np

from fuserank_benchmarks.speed.ceiling import batch_feeds


def test_every_request_is_in_a_batch_of_equal_shapes():
    requests = [
        {"encoder": {"INPUT_IDS": np.full((1, length), n)}, "ranker": {"FEATURES": np.full((1, 4), n)}}
        for n, length in enumerate([16, 16, 32, 16, 16])
    ]
    batches = list(batch_feeds(requests, 2))
    encoder = [batch["encoder"]["INPUT_IDS"] for batch in batches if "encoder" in batch]
    ranker = [batch["ranker"]["FEATURES"] for batch in batches if "ranker" in batch]
    assert [array.shape for array in encoder] == [(2, 16), (2, 16), (1, 32)]
    assert [len(array) for array in ranker] == [2, 2, 1]
    assert sorted(np.concatenate([array[:, 0] for array in encoder]).tolist()) == list(range(5))
