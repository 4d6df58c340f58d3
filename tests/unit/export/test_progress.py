"""Where no terminal shows bars, a step that takes long says every few seconds how far it is."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from fuserank_export import progress
from fuserank_export.progress import Progress


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.01)
    return io.StringIO()


def appears(pattern: str, log: io.StringIO) -> bool:
    """Waits until a line matches; not for ever."""
    deadline = time.monotonic() + 30
    while not re.search(pattern, log.getvalue(), re.M):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_a_long_step_says_how_far_it_is_before_it_ends(log):
    with Progress(Console(file=log, width=200)).step("embedding texts", 8) as advanced:
        advanced(3)
        assert appears(r"^… embedding texts: 3 of 8 \(\d+ s\)$", log)
    assert log.getvalue().splitlines()[-1].startswith("✓ embedding texts (")


def test_of_several_steps_the_latest_is_named(log):
    with Progress(Console(file=log, width=200)).steps() as advanced:
        advanced("reading", 2, 2)
        advanced("training", 1, 6)
        assert appears(r"^… training: 1 of 6 \(\d+ s\)$", log)


def test_where_there_was_no_step_there_is_no_line(log):
    with Progress(Console(file=log, width=200)).steps():
        pass
    assert log.getvalue() == ""


def test_a_step_of_unknown_length_names_its_seconds_alone(log):
    with Progress(Console(file=log, width=200)).step("loading"):
        assert appears(r"^… loading \(\d+ s\)$", log)


def test_a_step_that_failed_is_not_reported_any_further(log):
    with pytest.raises(ValueError, match="no such file"), Progress(Console(file=log)).step("loading"):
        raise ValueError("no such file")
    before = log.getvalue()
    time.sleep(0.1)
    assert log.getvalue() == before


def test_a_terminal_shows_bars_instead(log):
    with Progress(Console(file=log, force_terminal=True)).step("loading"):
        time.sleep(0.1)
    assert not re.search(r"^… loading", log.getvalue(), re.M)


def test_a_step_says_about_how_long_it_still_takes(log):
    with Progress(Console(file=log, width=200)).step("embedding texts", 1_000) as advanced:
        advanced(1)
        time.sleep(0.05)
        advanced(1)
        assert appears(r"^… embedding texts: 2 of 1,000 \(\d+ s, about \d+ s left\)$", log)
        line = re.search(r"2 of 1,000 \(\d+ s, about (\d+) s left\)", log.getvalue())
        assert 45 <= int(line[1]) <= 500  # 998 more at 0.05 s each, or slower where the machine is busy
