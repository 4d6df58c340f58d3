"""What the tests of the lexical channel ask it, and the fields of their shops."""

from __future__ import annotations

import numpy as np

from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.channel import ChannelQuery

FIELDS = {"title": 3.0, "category": 1.0, "brand": 2.0, "description": 1.0, "tags": 0.5}


def channel_query(query, allowed=None):
    return ChannelQuery(query, np.zeros(2, np.float32), History.empty(), 0.0, allowed)


def rows(channel, query, depth=100, allowed=None):
    return channel.search([channel_query(query, allowed)], depth)[0].rows.tolist()
