"""What the first stage takes is what the last one finishes in time; the rest is refused before it costs anything."""

import pytest

from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.step import UnavailableError
from fuserank_ensemble.serving.admission import (
    LEAST,
    LOST_SECONDS,
    WAIT_SECONDS,
    WINDOW_SECONDS,
    Admission,
    AdmittedStep,
    FinishedMark,
)

SECOND = 1_000_000_000


class Clock:
    def __init__(self):
        self.now = SECOND

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def mark(tmp_path):
    return FinishedMark(tmp_path)


@pytest.fixture
def admission(mark, clock):
    return Admission(mark, clock)


def take(admission, most=1_000):
    """Asks until one is refused; returns how many were taken."""
    return next((taken for taken in range(most) if not admission.admit(1)), most)


def test_a_graph_that_stood_idle_takes_a_few_at_once(admission):
    assert take(admission) == LEAST


def test_what_is_finished_makes_room(admission, mark, clock):
    take(admission)
    mark.advance(clock.now)
    clock.now += SECOND // 100
    assert take(admission) == LEAST


@pytest.mark.parametrize("rate", [100, 400])
def test_as_many_are_under_way_as_are_finished_in_the_time_that_they_may_wait(admission, mark, clock, rate):
    def work():
        """What began by now is finished a moment later, `rate` a second."""
        for _ in range(round(rate * WINDOW_SECONDS / 10)):
            admission.admit(1)
        mark.advance(clock.now)
        clock.now += SECOND // 10

    for _ in range(12):
        work()
    # One at a time was taken while few were finished, so that it takes more than the window to get there.
    for _ in range(20):
        work()
    assert take(admission) == pytest.approx(max(LEAST, rate * WAIT_SECONDS), rel=0.15)


def test_what_is_lost_in_a_stage_between_makes_room_in_the_end(admission, clock):
    take(admission)
    clock.now += int(LOST_SECONDS / 2 * SECOND)
    assert not admission.admit(1)
    clock.now += int(LOST_SECONDS * SECOND)
    assert take(admission) == LEAST


def test_a_large_call_is_taken_where_there_is_room_for_one_row(admission):
    assert admission.admit(LEAST - 1)
    assert admission.admit(10 * LEAST)
    assert not admission.admit(1)


def test_what_the_first_stage_answers_itself_is_not_under_way(admission):
    class Refusing:
        def execute(self, requests):
            return [InvalidRequestError("OPTIONS.k", 0, "1 to 200") for _ in requests]

    step = AdmittedStep(Refusing(), admission)
    for _ in range(3):
        answers = step.execute([{"QUERY": [["milk"]]}] * LEAST)
        assert all(isinstance(answer, InvalidRequestError) for answer in answers)
    assert take(admission) == LEAST


def test_processes_of_a_server_see_the_same_mark_and_it_does_not_go_back(tmp_path, mark):
    other = FinishedMark(tmp_path)
    other.advance(7)
    other.advance(5)
    assert mark.read() == 7


def test_a_link_in_the_place_of_the_mark_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"kept")
    (tmp_path / "finished").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"symbolic link|Too many levels"):
        FinishedMark(tmp_path)
    assert (tmp_path / "elsewhere").read_bytes() == b"kept"


def test_the_refused_of_a_batch_cost_the_step_nothing_and_the_others_are_answered(admission):
    asked = []

    class Step:
        def execute(self, requests):
            asked.extend(requests)
            return [{"REQUEST": tensors["QUERY"]} for tensors in requests]

    requests = [{"QUERY": [[number]]} for number in range(LEAST + 3)]
    answers = AdmittedStep(Step(), admission).execute(requests)
    assert asked == requests[:LEAST]
    assert answers[:LEAST] == [{"REQUEST": tensors["QUERY"]} for tensors in asked]
    refused = answers[LEAST:]
    assert all(isinstance(answer, UnavailableError) for answer in refused)
    assert "the queue is full; try again after 250 ms" in str(refused[0])
    assert len(refused) == 3
