"""What the user had before, most and latest first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fuserank_ensemble.retrieval.channel import ChannelQuery, RankedItems


class Personal:
    """The user's own items by frequency, worn off by the time since; with a query, only those near it."""

    name = "history"

    def search(self, questions: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`."""
        return [self._one(question, depth) for question in questions]

    def _one(self, question: ChannelQuery, depth: int) -> RankedItems:
        seen = question.seen
        if not len(seen):
            return RankedItems.none()
        keep = np.ones(len(seen), np.bool_) if question.allowed is None else question.allowed[seen.rows]
        if question.near is not None:
            # A table of rows instead of a sort: both lists are short and their range is known.
            keep = keep & np.isin(seen.rows, question.near, kind="table")
        return RankedItems.best(seen.rows[keep], seen.weights(question.now)[keep], depth)
