"""The names of users in a bundle: hashes under a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.segments import UserSegments
from fuserank_ensemble.state.identity import IdentityKey, subject_named
from fuserank_export.sources import Impressions, Interactions


def user_key(key: IdentityKey, log: Interactions) -> str:
    """Returns the fingerprint of the key of a bundle that is made from a log; nothing where it names nobody."""
    named = log.user_ids or log.negatives.user_ids or len(log.segments)
    return key.fingerprint if named else ""


def name_users(log: Interactions, key: IdentityKey) -> Interactions:
    """Returns a log whose users have the names that a bundle gives them, in the order of these, without impressions.

    What is learned from a log is learned before, so it does not depend on the key.
    """
    negatives, segments = log.negatives, log.segments
    rank, user_ids = _name(log.user_ids, key)
    # Users without other events stand behind the log's.
    further = [key.user_name(user) for user in negatives.user_ids[len(rank) :]]
    ranks = np.concatenate([rank, np.arange(len(rank), len(rank) + len(further), dtype=np.int32)])
    return replace(
        log,
        user=rank[log.user],
        user_ids=user_ids,
        negatives=replace(
            negatives,
            user=ranks[negatives.user],
            user_ids=[*user_ids, *further] if negatives.user_ids else [],
        ),
        segments=rename_users(
            segments, {user: key.user_name(user) for user in map(bytes.decode, segments.users.tolist())}
        ),
        impressions=Impressions.empty(),
    )


def match_users(segments: UserSegments, log: Interactions, key: IdentityKey) -> UserSegments:
    """Returns what a shop says of its users under the names that the log has for them.

    Either may name users by ids, or by hashes as bundles do. Of a user who is there under both, the first row counts.
    """
    users = [user.decode() for user in segments.users.tolist()]
    if not any(map(subject_named, (*users, *log.user_ids))):
        return segments
    in_log, names = {key.user_name(user): user for user in log.user_ids}, dict[str, str]()
    for user in users:
        names.setdefault(key.user_name(user), user)
    return rename_users(segments, {user: in_log.get(hashed, user) for hashed, user in names.items()})


def rename_users(segments: UserSegments, names: Mapping[str, str]) -> UserSegments:
    """Returns what is said of the users who have a new name, under that."""
    rows = [row for row, user in enumerate(segments.users.tolist()) if user.decode() in names]
    named = np.asarray([names[segments.users[row].decode()].encode() for row in rows], "S")
    order = np.argsort(named, kind="stable")
    return replace(segments.part(np.asarray(rows, np.int64)[order]), users=named[order])


def _name(user_ids: Sequence[str], key: IdentityKey) -> tuple[NDArray[np.int32], list[str]]:
    """The place of each user in the order of the names, int32 `[users]`, and the names in this order."""
    names = [key.user_name(user) for user in user_ids]
    order = np.argsort(np.asarray([name.encode() for name in names], "S"), kind="stable")
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank, [names[row] for row in order.tolist()]
