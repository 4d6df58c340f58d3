"""Finds the served bundle and its log for `fuserank export refresh`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.serving.state import choose_state
from fuserank_ensemble.serving.switch.promoted import PROMOTED, read_promoted
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import State
from fuserank_export.builder.held_log import check_log
from fuserank_export.builder.options import OutputOptions
from fuserank_export.progress import Progress
from fuserank_export.refresh.refresh import refresh_bundle
from fuserank_export.repository.place import check_place
from fuserank_export.sources import InputError


def refresh_served(
    named: Path,
    place: str | None,
    key_file: Path | None,
    out: OutputOptions,
    progress: Progress | None = None,
    *,
    keep_ranker: bool = False,
) -> dict[str, Any] | None:
    """Makes the next bundle of a server.

    Args:
        named: The bundle that the server was started on.
        place: Where events are kept; None is `<bundle>.state/log.sqlite`.
        key_file: The key of the users in it; None where it is kept there.
        out: Where the next bundle goes.
        progress: Shows the steps; on standard error by default.
        keep_ranker: See `refresh_bundle`.

    Returns:
        See `refresh_bundle`.

    Raises:
        InputError: Where the state cannot be used; and as `refresh_bundle` does.
        BundleError: Where the bundle cannot be used, or names users under another key than the state.
    """
    check_place(out.folder, out.force)
    progress = progress or Progress()
    try:
        settings = choose_state(named, place, key_file)
        if settings is None:
            raise InputError(f"{named}: has no log beside it; name it with --state")
        if place is not None:
            check_log(settings)
        served = read_promoted(named.resolve().with_name(f"{named.resolve().name}.state") / PROMOTED, named)
        with progress.step("verifying the bundle"):
            bundle = Bundle.open(served.resolve())
        state = State.open(settings)
        try:
            return refresh_bundle(bundle, state, out, progress, keep_ranker=keep_ranker)
        finally:
            state.log.close()
    except StateError as error:
        raise InputError(str(error)) from None
