"""Keeps what the ranker read of a share of the searches, to be computed again, or learned from elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from hashlib import blake2b

import msgspec
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.request import ResolvedRequest, RetrievalTrace, Sampled
from fuserank_ensemble.contract.options import Options
from fuserank_ensemble.ranking.rules import NOT_FOUND
from fuserank_ensemble.state.entries import FeatureSample
from fuserank_ensemble.state.identity import Subject, hashed_name

SAMPLED_PLACES = 20  # of a list
MAX_OPTIONS_BYTES = 4_096  # of a request that is kept, a long history among them
_encode = msgspec.json.Encoder().encode


def is_drawn(share: float, *parts: bytes) -> bool:
    """Whether a request is among a share of all, always the same for the same parts.

    Args:
        share: From 0 to 1.
        parts: What the request is: who asks, what, and up to where the log counts.
    """
    if not share:
        return False
    drawn = blake2b(b"\0".join(parts), digest_size=8, person=b"features").digest()
    return int.from_bytes(drawn, "big") / 2**64 < share


def sample_request(options: Options, now: float, user: Subject, session: Subject, position: int) -> Sampled | None:
    """Returns what is kept of a request; None of one whose options are too long.

    Args:
        options: As they are answered.
        now: The request's own time, epoch seconds.
        user: The user's hash, empty without one.
        session: The session's.
        position: Up to where the log counts for them.
    """
    kept = msgspec.structs.replace(
        options,
        context=msgspec.structs.replace(options.context, timestamp=now),
        session_id=hashed_name(session) if session else "",
        # What changes no feature of a request that had the time it needs.
        deadline_ms=None,
        min_position=0,
        explain=False,
        fields=None,
    )
    encoded = _encode(kept)
    return Sampled(user, session, encoded.decode(), position) if len(encoded) <= MAX_OPTIONS_BYTES else None


def feature_sample(
    resolved: ResolvedRequest,
    trace: RetrievalTrace,
    item_ids: Sequence[str],
    positions: NDArray[np.int64],
    features: NDArray[np.float32],
) -> FeatureSample | None:
    """Returns the entry of a request that was answered; None where it was cut short, or is of no one moment of the log.

    Args:
        resolved: The request, which is sampled.
        trace: How its candidates were found.
        item_ids: The list, best first.
        positions: Position among the candidates of each of its items.
        features: Of the candidates, float32 `[candidates, features]`.
    """
    sampled, read = resolved.sampled, trace.read
    assert sampled is not None
    assert read is not None
    if trace.degraded or trace.first_users is None or trace.catalog != resolved.catalog:
        return None
    places = [place for place, position in enumerate(positions.tolist()) if position != NOT_FOUND][:SAMPLED_PLACES]
    return FeatureSample(
        event_id=uuid.uuid4().hex,
        user=sampled.user,
        session=sampled.session,
        timestamp=resolved.now,
        bundle=resolved.bundle,
        query=resolved.query,
        options=sampled.options,
        position=sampled.position,
        catalog=trace.catalog,
        popularity=trace.popularity,
        first_users=trace.first_users,
        embedding=read.embedding,
        items=[item_ids[place] for place in places],
        features=features[positions[places]].tobytes(),
        texts=np.frombuffer(read.texts, np.int32)[positions[places]].tobytes(),
        events=read.events,
        moments=read.moments,
    )
