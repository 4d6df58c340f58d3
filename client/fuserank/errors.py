"""The client's errors: one class for each thing that the caller must do next.

The classes have one base, `FuseRankError`, and no levels between: a caller catches the base, or the kind it can act on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonclient.utils import InferenceServerException


class FuseRankError(Exception):
    """Base of all errors of this package.

    Attributes:
        message: The server's own words, without the wrapping that Triton adds on the way.
        code: Name of the gRPC status code, `None` where no call was made.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class ConfigurationError(FuseRankError):
    """Fix how the client is set up: an address, a certificate file or a limit is unusable."""


class InvalidRequestError(FuseRankError):
    """Fix the request; sent again, it fails again.

    Attributes:
        field: The part of the request at fault, such as `OPTIONS.k`; `None` where the server named none.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        match = _FIELD.match(message)
        self.field = match.group(1) if match else None


class ServerUnavailableError(FuseRankError):
    """Retry later, or check the address: no server answered, or it is starting or stopping."""


# What a full queue takes to clear: the server's queues hold about as much as is answered in that time.
RETRY_AFTER_SECONDS = 0.25


class OverloadedError(FuseRankError):
    """Send less, retry later with growing pauses, or add replicas: the server's queue is full.

    Attributes:
        retry_after: Seconds until the queue that was full has been worked off.
    """

    retry_after = RETRY_AFTER_SECONDS


class DeadlineExceededError(FuseRankError):
    """Allow more time, or ask for less: the answer did not come within the client's timeout."""


class AuthenticationError(FuseRankError):
    """Present credentials that the server accepts, or trust its certificate."""


class IncompatibleServerError(FuseRankError):
    """Connect to a FuseRank server of a matching version: this one does not speak the client's contract."""


class ClientClosedError(FuseRankError):
    """Open a new client: this one was closed."""


class ServerError(FuseRankError):
    """Report it to those who run the server: it failed at a request that it accepted."""


# "OPTIONS.objective.click: found NaN; allowed: …" names its field first.
_FIELD = re.compile(r"([A-Z][A-Z_]*(?:[.\[].*?)?): found ")

# What Triton, its ensembles and its Python backend put in front of a stage's message.
_WRAPPING = re.compile(
    r"\[request id: [^\]]*\] "
    r"|in ensemble '?[^',]*'?, "
    r"|Failed to process the request\(s\) for model (?:instance )?'[^']*', message: "
)

_QUEUE = re.compile(r"maximum queue size|queue is full|request timeout expired", re.IGNORECASE)
_TLS = re.compile(r"handshake failed|certificate|verification", re.IGNORECASE)
_NO_STATE = re.compile(r"unknown model: '(record|catalog|profile)'")
_LEFT_OUT = re.compile(r"unknown model: '(similar|suggest|embed|rerank)'")
_MESSAGE_SIZE = re.compile(r"message larger than max", re.IGNORECASE)

_BY_CODE: dict[str, type[FuseRankError]] = {
    "INVALID_ARGUMENT": InvalidRequestError,
    "OUT_OF_RANGE": InvalidRequestError,
    "UNAVAILABLE": ServerUnavailableError,
    "RESOURCE_EXHAUSTED": OverloadedError,
    "DEADLINE_EXCEEDED": DeadlineExceededError,
    "UNAUTHENTICATED": AuthenticationError,
    "PERMISSION_DENIED": AuthenticationError,
    "NOT_FOUND": IncompatibleServerError,
    "UNIMPLEMENTED": IncompatibleServerError,
}


def strip_wrapping(message: str) -> str:
    """Removes what Triton puts in front of a stage's message, such as "in ensemble 'search', "."""
    while match := _WRAPPING.match(message):
        message = message[match.end() :]
    return message


def from_triton(error: InferenceServerException, timeout: float | None = None) -> FuseRankError:
    """Returns the error of this package that a tritonclient error stands for.

    Args:
        error: Carries `status()` such as "StatusCode.INVALID_ARGUMENT", and gRPC's details as its message.
        timeout: The limit in seconds that the call ran under, quoted when it was exceeded.
    """
    code = (error.status() or "").removeprefix("StatusCode.")
    message = strip_wrapping(error.message() or "") or f"the server gave no reason ({code or 'no status'})"
    kind = _BY_CODE.get(code, ServerError)
    # One code can mean several things: gRPC reports its own limits and failed handshakes with the same
    # codes that Triton uses for a full queue and for a server that is not ready.
    if kind is OverloadedError and _MESSAGE_SIZE.search(message):
        kind = InvalidRequestError
    elif kind is ServerUnavailableError and _QUEUE.search(message):
        kind = OverloadedError
    elif kind is IncompatibleServerError and (model := _NO_STATE.search(message)):
        message = f"{message}: the server keeps no state (fuserank serve --state), or was started --without {model[1]}"
    elif kind is IncompatibleServerError and (model := _LEFT_OUT.search(message)):
        message = f"{message}: the server was started without it (fuserank serve --without {model[1]})"
    elif kind is ServerUnavailableError and _TLS.search(message):
        kind = AuthenticationError
    elif kind is DeadlineExceededError and timeout is not None:
        message = f"{message} (the client's limit is {timeout:g} s)"
    return kind(message, code=code or None)


@contextmanager
def translate_errors(timeout: float | None = None) -> Iterator[None]:
    """Raises what tritonclient and gRPC raise inside the block as an error of this package.

    Args:
        timeout: The limit in seconds that the call runs under.

    Raises:
        FuseRankError: The class that fits; other exceptions pass through.
    """
    from grpc.aio import UsageError
    from tritonclient.utils import InferenceServerException

    try:
        yield
    except InferenceServerException as error:
        raise from_triton(error, timeout) from None
    except (ValueError, UsageError) as error:
        # gRPC has no class of its own for this; its two APIs agree only on the word.
        if "closed" not in str(error):
            raise
        raise ClientClosedError("the client was closed") from None
