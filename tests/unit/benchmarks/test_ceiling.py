"""The ceiling's batches hold every question, and only such as may be joined."""

import numpy as np

from fuserank_benchmarks.ceiling import batches


def test_every_question_is_in_a_batch_of_equal_shapes():
    asked = [
        {"encoder": {"INPUT_IDS": np.full((1, length), n)}, "ranker": {"FEATURES": np.full((1, 4), n)}}
        for n, length in enumerate([16, 16, 32, 16, 16])
    ]
    made = list(batches(asked, 2))
    encoder = [each["encoder"]["INPUT_IDS"] for each in made if "encoder" in each]
    ranker = [each["ranker"]["FEATURES"] for each in made if "ranker" in each]
    assert [each.shape for each in encoder] == [(2, 16), (2, 16), (1, 32)]
    assert [len(each) for each in ranker] == [2, 2, 1]
    assert sorted(np.concatenate([each[:, 0] for each in encoder]).tolist()) == list(range(5))
