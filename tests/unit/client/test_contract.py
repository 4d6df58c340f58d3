"""The client offers what the server takes: the same names, on every level."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from fuserank import events, types
from fuserank.client import Client
from fuserank_ensemble.contract import controls, options, page
from fuserank_ensemble.contract.events import RecordedEvent

PAIRS = [
    (types.SearchOptions, options.Options),
    (types.SimilarOptions, options.SimilarOptions),
    (types.Rule, controls.Rule),
    (types.Explore, controls.Explore),
    (types.Facet, page.Facet),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda kind: kind.__name__)
def test_the_clients_keys_are_the_servers(ours, theirs: type[msgspec.Struct]):
    assert set(ours.__annotations__) == set(theirs.__struct_encode_fields__)


def test_an_events_keys_are_the_servers():
    assert set(events.Event.__annotations__) == set(RecordedEvent.__dataclass_fields__)


def test_suggest_takes_every_option():
    taken = set(inspect.signature(Client.suggest).parameters) - {"self", "prefix"}
    assert taken == set(options.SuggestOptions.__struct_encode_fields__)


def test_a_request_has_every_option_of_a_search():
    assert set(types.Request.__dataclass_fields__) == {"query", "user", *options.Options.__struct_encode_fields__}


def test_embed_and_rerank_take_every_option():
    assert set(options.EmbedOptions.__struct_encode_fields__) < set(inspect.signature(Client.embed).parameters)
    assert set(options.RerankOptions.__struct_encode_fields__) < set(inspect.signature(Client.rerank).parameters)
