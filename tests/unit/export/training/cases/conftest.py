"""The cases of a log of the support shop."""

from __future__ import annotations

import pytest

from support.habits import case_builder, window_cases


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    """What makes cases; its index of words is opened once a module."""
    return case_builder(tmp_path_factory.mktemp("words"))


@pytest.fixture
def cases_of(builder):
    """The queries and cases of one window of a log."""
    return lambda log: window_cases(log, builder)
