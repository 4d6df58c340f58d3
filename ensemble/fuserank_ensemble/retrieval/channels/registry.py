"""Every retrieval channel: what one declares reaches fusion, the ranker's features and the metrics from here.

A new channel is one file in this folder and one line in `CHANNEL_CLASSES`.
"""

from __future__ import annotations

from collections.abc import Mapping

from fuserank_ensemble.catalog.live.snapshot import TextVectors
from fuserank_ensemble.retrieval.channel import REQUEST_KINDS, Channel, ChannelDeclaration, LocalChannel, RequestKind
from fuserank_ensemble.retrieval.channels.collaborative import CollaborativeChannel
from fuserank_ensemble.retrieval.channels.content import ContentChannel
from fuserank_ensemble.retrieval.channels.dense import DenseChannel, GrownDenseChannel
from fuserank_ensemble.retrieval.channels.graph import GraphChannel
from fuserank_ensemble.retrieval.channels.history import HistoryChannel
from fuserank_ensemble.retrieval.channels.lexical import LexicalChannel
from fuserank_ensemble.retrieval.channels.new import NewItemsChannel
from fuserank_ensemble.retrieval.channels.trending import TrendingChannel
from fuserank_ensemble.retrieval.index import RetrievalIndex

# In the order in which they are asked; equal sums of fusion keep it.
CHANNEL_CLASSES: tuple[type[LocalChannel], ...] = (
    DenseChannel,
    LexicalChannel,
    HistoryChannel,
    TrendingChannel,
    NewItemsChannel,
    ContentChannel,
    CollaborativeChannel,
    GraphChannel,
)

DECLARATIONS: Mapping[str, ChannelDeclaration] = {
    channel.declaration.name: channel.declaration for channel in CHANNEL_CLASSES
}
CHANNELS = tuple(DECLARATIONS)
# Measured on Complete Journey, see docs/decisions/011. An export with a log tunes its own.
CHANNEL_WEIGHTS: Mapping[RequestKind, Mapping[str, float]] = {
    kind: {name: declared.weights[kind] for name, declared in DECLARATIONS.items() if kind in declared.weights}
    for kind in REQUEST_KINDS
}


def open_channels(index: RetrievalIndex, stand_in: Channel | None = None) -> list[Channel]:
    """Opens every channel that the index has the parts of.

    Args:
        index: What they search.
        stand_in: Takes the place of the local channel with its name, such as a dense channel on Milvus.
    """
    channels: list[Channel] = []
    for channel in CHANNEL_CLASSES:
        if stand_in is not None and channel.declaration.name == stand_in.declaration.name:
            channels.append(stand_in)
        elif (opened := channel.open(index)) is not None:
            channels.append(opened)
    return channels


def channel_over(channel: Channel, index: RetrievalIndex) -> Channel:
    """Returns a channel over an index with new items, or with other texts of some; see `LocalChannel.over`."""
    if isinstance(channel, CHANNEL_CLASSES):
        return channel.over(index)
    bundled = channel.bundled if isinstance(channel, GrownDenseChannel) else channel
    vectors = index.catalog.vectors
    assert isinstance(vectors, TextVectors)
    return GrownDenseChannel(bundled, index.catalog.items, vectors)
