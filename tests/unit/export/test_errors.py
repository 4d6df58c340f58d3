"""A command ends a mistake that its message explains with one line and status 2; anything else is not swallowed."""

from __future__ import annotations

import pytest

from fuserank_ensemble.bundle import BundleError
from fuserank_ensemble.catalog.text import TemplateError
from fuserank_ensemble.spec import SpecError
from fuserank_export.encoder.load import EncoderError
from fuserank_export.engines.soundness import EngineError
from fuserank_export.errors import exit_on_error
from fuserank_export.sources import InputError


@pytest.mark.parametrize("kind", [BundleError, EncoderError, EngineError, InputError, SpecError, TemplateError])
def test_an_explained_mistake_is_one_line_and_status_2(kind, capsys):
    with pytest.raises(SystemExit) as ended, exit_on_error():
        raise kind("[bold]items.csv: found nothing")
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.err == "error: [bold]items.csv: found nothing\n"
    assert captured.out == ""


def test_a_fault_of_the_program_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), exit_on_error():
        raise ZeroDivisionError
