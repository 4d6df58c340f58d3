"""Each failure becomes the error class for what to do next, and keeps the server's message."""

from __future__ import annotations

import pickle

import pytest
from tritonclient.utils import InferenceServerException

from fuserank import errors


def error_of(code, message):
    return errors.from_triton(InferenceServerException(message, status=code and f"StatusCode.{code}"))


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("INVALID_ARGUMENT", "bad", errors.InvalidRequestError),
        ("UNAVAILABLE", "server is not ready", errors.ServerUnavailableError),
        ("UNAVAILABLE", "failed to connect to all addresses", errors.ServerUnavailableError),
        ("UNAVAILABLE", "Exceeds maximum queue size", errors.OverloadedError),
        ("UNAVAILABLE", "Request timeout expired", errors.OverloadedError),
        ("UNAVAILABLE", "Ssl handshake failed: CERTIFICATE_VERIFY_FAILED", errors.AuthenticationError),
        ("RESOURCE_EXHAUSTED", "too many", errors.OverloadedError),
        ("RESOURCE_EXHAUSTED", "CLIENT: Sent message larger than max (9 vs. 4)", errors.InvalidRequestError),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", errors.DeadlineExceededError),
        ("UNAUTHENTICATED", "who?", errors.AuthenticationError),
        ("PERMISSION_DENIED", "no", errors.AuthenticationError),
        ("NOT_FOUND", "Request for unknown model: 'search' is not found", errors.IncompatibleServerError),
        ("UNIMPLEMENTED", "", errors.IncompatibleServerError),
        ("INTERNAL", "boom", errors.ServerError),
        (None, "unexpected", errors.ServerError),
    ],
)
def test_a_status_code_becomes_its_class(code, message, kind):
    error = error_of(code, message)
    assert type(error) is kind
    assert error.code == code
    assert message in str(error)
    assert str(error)


def test_a_full_queue_says_when_to_come_again():
    assert error_of("UNAVAILABLE", "Exceeds maximum queue size").retry_after == errors.RETRY_AFTER_SECONDS


@pytest.mark.parametrize(
    ("model", "remedy"),
    [("catalog", "fuserank serve --state"), ("record", "--state"), ("rerank", "fuserank serve --without rerank")],
)
def test_a_model_that_is_not_served_is_told_with_the_option_that_decides(model, remedy):
    error = error_of("NOT_FOUND", f"Request for unknown model: '{model}' is not found")
    assert type(error) is errors.IncompatibleServerError
    assert remedy in str(error)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("in ensemble 'search', QUERY: found 5", "QUERY: found 5"),
        ("in ensemble 'a', in ensemble 'b', no", "no"),
        ("[request id: <id_unknown>] expected 3 inputs", "expected 3 inputs"),
        (
            "in ensemble 'search', Failed to process the request(s) for model instance 'preprocess_0_1', message: x: y",
            "x: y",
        ),
        ("Failed to process the request(s) for model 'stage_0_0', message: x: y", "x: y"),
        ("nothing about in ensemble 'search', here", "nothing about in ensemble 'search', here"),
    ],
)
def test_triton_wrapping_is_stripped(sent, kept):
    assert errors.strip_wrapping(sent) == kept


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("OPTIONS.k: found 0; allowed: 1 to 200", "OPTIONS.k"),
        ("OPTIONS.filter.pack size: found an unknown field; allowed: brand", "OPTIONS.filter.pack size"),
        ("OPTIONS.history[3]: found 7; allowed: strings", "OPTIONS.history[3]"),
        ("USER_ID: found byte 0xff at position 0; allowed: UTF-8 text", "USER_ID"),
        ("expected 3 inputs but got 2 inputs for model 'search': found none", None),
    ],
)
def test_an_invalid_request_knows_its_field(message, field):
    assert error_of("INVALID_ARGUMENT", message).field == field


def test_errors_survive_a_trip_between_processes():
    sent = "OPTIONS.k: found 0; allowed: more"
    error = pickle.loads(pickle.dumps(error_of("INVALID_ARGUMENT", sent)))
    assert (error.field, error.code, str(error)) == ("OPTIONS.k", "INVALID_ARGUMENT", sent)


def test_other_programming_errors_pass_through():
    with pytest.raises(ValueError, match="unrelated"), errors.translate_errors():
        raise ValueError("unrelated")
