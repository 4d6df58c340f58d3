"""The part of a bundle's model repository that a target serves: Triton loads every model that it finds."""

from __future__ import annotations

from pathlib import Path

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.graph.stages import models, state_stages
from fuserank_ensemble.spec import Target


def check_path(bundle: Path) -> None:
    """Checks that Triton's Python stages can read a bundle: their interpreter takes paths for ASCII.

    Raises:
        BundleError: Where a folder of the path has another name.
    """
    root = bundle.resolve()
    if not str(root).isascii():
        raise BundleError(
            f"{root}: a path that is not ASCII, which the Python stages of Triton cannot read; copy or move the bundle "
            "to a folder such as /srv/shop, with <bundle>.state beside it"
        )


def served_models(bundle: Bundle, target: Target, *, has_state: bool) -> set[str]:
    """Names of the models that a target serves, `search` among them; where no state is kept, none that changes it."""
    names = {stage.name for stage in models(bundle.spec, target)} | {"search"}
    return names if has_state else names - {stage.name for stage in state_stages()}


def link_models(bundle: Bundle, target: Target, folder: Path, *, has_state: bool) -> None:
    """Makes a model repository of links to the models that a target serves.

    Args:
        bundle: The bundle, at the place where Triton will find it.
        target: What is to be served.
        folder: The repository; links that are there already, as after a container's restart, are made anew.
        has_state: Whether a state is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for link in folder.iterdir():
        link.unlink()
    for name in served_models(bundle, target, has_state=has_state):
        (folder / name).symlink_to(bundle.repository / name, target_is_directory=True)
