"""An ONNX engine runs requests of equal shape together and gives each its own rows; padding is cut off first."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.graph.engine import LENGTH_STEP, OnnxEngine, trim_tokens


class Doubling:
    """A session that doubles X, and remembers the shapes that it ran."""

    def __init__(self):
        self.shapes = []

    def run(self, outputs, feeds):
        self.shapes.append(feeds["X"].shape)
        return [feeds["X"] * 2 for _ in outputs]


def test_requests_of_equal_shape_share_a_run_and_keep_their_rows():
    session = Doubling()
    requests = [{"X": np.full((rows, width), rows * 10 + width)} for rows, width in [(1, 3), (2, 4), (2, 3)]]
    answers = OnnxEngine(session, ["Y"]).execute(requests)
    assert sorted(session.shapes) == [(2, 4), (3, 3)]
    for request, answer in zip(requests, answers, strict=True):
        np.testing.assert_array_equal(answer["Y"], request["X"] * 2)


def tokens(*lengths: int, width: int = 32) -> dict[str, np.ndarray]:
    mask = (np.arange(width) < np.asarray(lengths)[:, None]).astype(np.int64)
    return {"INPUT_IDS": mask * 5, "ATTENTION_MASK": mask}


@pytest.mark.parametrize(("lengths", "kept"), [((1,), 4), ((4,), 4), ((5, 2), 8), ((31,), 32), ((32,), 32), ((0,), 1)])
def test_a_query_is_as_long_as_the_longest_of_its_call(lengths, kept):
    trimmed = trim_tokens(tokens(*lengths))
    assert {array.shape for array in trimmed.values()} == {(len(lengths), kept)}
    assert trimmed["ATTENTION_MASK"].sum() == sum(lengths)


def test_a_bucket_that_is_no_multiple_of_the_step_stays_whole():
    assert trim_tokens(tokens(6, width=6))["INPUT_IDS"].shape == (1, 6)
    assert 6 % LENGTH_STEP


def test_trimmed_requests_of_different_buckets_share_a_run():
    session = Doubling()
    trim = {8: 4, 16: 4}
    requests = [{"X": np.ones((1, width))} for width in trim]
    OnnxEngine(session, ["Y"], lambda tensors: {"X": tensors["X"][:, :4]}).execute(requests)
    assert session.shapes == [(2, 4)]
