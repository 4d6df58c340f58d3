"""What the first stage takes is what the last one finishes in time; the rest is refused before it costs anything."""

import pytest

from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.step import UnavailableError
from fuserank_ensemble.serving.admission import (
    FIRST,
    LEAST,
    LOST_SECONDS,
    PATIENT_LEAST,
    WAIT_SECONDS,
    Admission,
    AdmittedStep,
    FinishedMark,
)
from support.graph_answer import raw_request

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


class Answering:
    def execute(self, requests):
        return [{"REQUEST": tensors["QUERY"]} for tensors in requests]


def take(admission, most=1_000):
    """Asks until one is refused; returns how many were taken."""
    return next((taken for taken in range(most) if not admission.admit(1, has_deadline=True)), most)


def serve(admission, mark, clock, rate, offered, seconds):
    """A graph that finishes `rate` a second in their order, asked `offered` a second; returns how long each took."""
    queue, took, done = [], [], 0.0
    for tick in range(int(seconds * 1_000)):
        clock.now += SECOND // 1_000
        for _ in range(tick * offered // 1_000 - (tick - 1) * offered // 1_000):
            if admission.admit(1, has_deadline=True):
                queue.append(clock.now)
        done = min(done + rate / 1_000, 1.0 + rate / 1_000)
        while done >= 1 and queue:
            began, done = queue.pop(0), done - 1
            took.append((clock.now - began) / SECOND)
            mark.advance(began, clock.now)
    return took


def test_a_graph_that_stood_idle_takes_some_at_once(admission):
    assert take(admission) == FIRST


def test_what_is_finished_makes_room(admission, mark, clock):
    take(admission)
    began, clock.now = clock.now, clock.now + SECOND // 100
    mark.advance(began, clock.now)
    assert take(admission) == pytest.approx(FIRST * 1.1, abs=1)


@pytest.mark.parametrize("rate", [50, 200, 800])
@pytest.mark.parametrize("beyond", [2, 5])
def test_beyond_its_peak_a_graph_is_kept_busy_and_what_it_takes_is_in_time(admission, mark, clock, rate, beyond):
    serve(admission, mark, clock, rate, beyond * rate, 3.0)
    took = serve(admission, mark, clock, rate, beyond * rate, 5.0)
    assert len(took) >= 0.95 * 5.0 * rate
    assert sorted(took)[int(len(took) * 0.99)] <= 1.3 * WAIT_SECONDS


def test_below_its_peak_a_graph_refuses_nothing(admission, mark, clock):
    took = serve(admission, mark, clock, 200, 150, 5.0)
    assert len(took) >= 0.98 * 5.0 * 150
    assert take(admission) >= FIRST - 2


def test_after_a_stage_that_stood_still_the_graph_takes_as_many_as_before(admission, mark, clock):
    serve(admission, mark, clock, 200, 400, 3.0)
    before = len(serve(admission, mark, clock, 200, 400, 2.0))
    serve(admission, mark, clock, 0.001, 400, 2.0)
    serve(admission, mark, clock, 200, 400, 2.0)
    assert len(serve(admission, mark, clock, 200, 400, 2.0)) >= 0.95 * before


def test_what_is_lost_in_a_stage_between_makes_room_in_the_end(admission, clock):
    take(admission)
    clock.now += int(LOST_SECONDS / 2 * SECOND)
    assert not admission.admit(1, has_deadline=True)
    clock.now += int(LOST_SECONDS * SECOND)
    assert take(admission) >= LEAST


def test_who_sends_no_deadline_waits_longer(admission):
    step = AdmittedStep(Answering(), admission)
    patient, hurried = raw_request("milk", options="{}"), raw_request("milk", options='{"k": 3, "deadline_ms": 500}')
    answers = step.execute([patient] * (PATIENT_LEAST + 1))
    assert [isinstance(answer, UnavailableError) for answer in answers] == [False] * PATIENT_LEAST + [True]
    assert isinstance(step.execute([hurried])[0], UnavailableError)


def test_a_large_call_is_taken_where_there_is_room_for_one_row(admission):
    assert admission.admit(FIRST - 1, has_deadline=True)
    assert admission.admit(10 * FIRST, has_deadline=True)
    assert not admission.admit(1, has_deadline=True)


def test_what_the_first_stage_answers_itself_is_not_under_way(admission):
    class Refusing:
        def execute(self, requests):
            return [InvalidRequestError("OPTIONS.k", 0, "1 to 200") for _ in requests]

    step = AdmittedStep(Refusing(), admission)
    for _ in range(3):
        answers = step.execute([raw_request("milk", options='{"deadline_ms": 500}')] * FIRST)
        assert all(isinstance(answer, InvalidRequestError) for answer in answers)
    assert take(admission) == FIRST


def test_processes_of_a_server_see_the_same_mark_and_it_does_not_go_back(tmp_path, mark):
    other = FinishedMark(tmp_path)
    other.advance(7, 10)
    other.advance(5, 11)
    assert mark.read() == (7, 3)


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

    requests = [raw_request(str(number), options='{"deadline_ms": 500}') for number in range(FIRST + 3)]
    answers = AdmittedStep(Step(), admission).execute(requests)
    assert asked == requests[:FIRST]
    assert answers[:FIRST] == [{"REQUEST": tensors["QUERY"]} for tensors in asked]
    refused = answers[FIRST:]
    assert all(isinstance(answer, UnavailableError) for answer in refused)
    assert "the queue is full; try again after 250 ms" in str(refused[0])
    assert len(refused) == 3
