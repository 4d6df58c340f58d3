"""The part of a bundle's model repository that a target serves: Triton loads every model that it finds."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.graph.stages import companion_stages, models, search_stages, state_stages
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


def check_without(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the models that a server leaves out.

    Raises:
        BundleError: Where one is not a model that can be left out.
    """
    allowed = [stage.name for stage in (*companion_stages(), *state_stages())]
    if wrong := [name for name in names if name not in allowed]:
        raise BundleError(f"--without: found {', '.join(wrong)}; allowed: {', '.join(allowed)}")
    return tuple(names)


def served_models(bundle: Bundle, target: Target, *, has_state: bool, without: Collection[str] = ()) -> set[str]:
    """Returns the names of the models that a target serves, `search` among them.

    Args:
        bundle: The bundle.
        target: What is served.
        has_state: Whether a state is kept; without one no model that changes it is served.
        without: Models that are left out, see `check_without`; what only they call is left out with them.
    """
    stages = {stage.name: stage for stage in models(bundle.spec, target)}
    left_out = {*without, *(() if has_state else (stage.name for stage in state_stages()))}
    of_search = {"search"} if target == "single_process" else {"search", *(s.name for s in search_stages(bundle.spec))}
    called_by_others = {name for stage in stages.values() for name in stage.calls}
    names = of_search | (stages.keys() - called_by_others - left_out)
    return names | {called for name in names if name in stages for called in stages[name].calls}


def link_models(
    bundle: Bundle, target: Target, folder: Path, *, has_state: bool, without: Collection[str] = ()
) -> None:
    """Makes a model repository of links to the models that a target serves.

    Of a model in Python each file of the manifest has its link, so that no other file is run: Python takes bytecode
    that it finds beside a source for the source's, and writes it there. An engine's data must lie beside it, so that of
    a model with an engine the folder is linked.

    Args:
        bundle: The bundle, at the place where Triton will find it.
        target: What is to be served.
        folder: The repository; links that are there already, as after a container's restart, are made anew.
        has_state: Whether a state is kept.
        without: Models that are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for linked in folder.iterdir():
        if linked.is_symlink():
            linked.unlink()
        else:
            shutil.rmtree(linked)
    files = bundle.manifest["files"]
    for name in served_models(bundle, target, has_state=has_state, without=without):
        if f"{bundle.repository.name}/{name}/1/model.py" not in files:
            (folder / name).symlink_to(bundle.repository / name, target_is_directory=True)
            continue
        prefix = f"{bundle.repository.name}/"
        for path in files:
            if path.startswith(f"{prefix}{name}/"):
                link = folder / path.removeprefix(prefix)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(bundle.root / path)
