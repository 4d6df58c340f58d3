"""What a bundle must be for a running server to switch to it."""

from __future__ import annotations

from collections.abc import Iterable

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.stages import models
from fuserank_ensemble.serving.switch.folder import SwitchError
from fuserank_ensemble.spec import Target
from fuserank_ensemble.state.entries import Forget
from fuserank_ensemble.state.identity import hashed_name
from fuserank_ensemble.state.settings import State


def check_fits(new: Bundle, served: Bundle, target: Target) -> None:
    """Checks that the server's processes can answer from a bundle: Triton keeps engines and configurations it has.

    Args:
        new: The bundle.
        served: The one that they were started with, or that was promoted since.
        target: How the server runs the graph.

    Raises:
        SwitchError: Naming what differs, and the remedy.
    """
    stages = {stage.name: stage for stage in models(served.spec, target)}
    if target != "single_process":
        stages |= {"search": stages["preprocess"]}  # the ensemble has a configuration alone
    found, wanted = ((_of_triton(bundle, stages, target)) for bundle in (new, served))
    differing = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if differing:
        named = ", ".join(differing[:3]) + (f" and {len(differing) - 3} more" if len(differing) > 3 else "")
        raise SwitchError(
            f"{new.root}: {named}: differs from {served.id}, and a running server keeps the engines and the "
            f"configurations of its models that it was started with; start a server on this bundle, and let the old "
            f"one end when traffic has moved"
        )


def _of_triton(bundle: Bundle, names: Iterable[str], target: Target) -> dict[str, str]:
    """Hashes by path of what Triton holds itself: configurations of the target, and engines."""
    files = bundle.manifest["files"]
    kept = {}
    for name in names:
        folder = f"model_repository/{name}"
        own = f"{folder}/configs/{target}.pbtxt"
        config = own if own in files else f"{folder}/config.pbtxt"
        kept[config] = files.get(config, "")
        kept |= {path: files[path] for path in files if path.startswith(f"{folder}/1/") and ".onnx" in path}
        kept |= {path: files[path] for path in files if path.startswith(f"{folder}/1/") and path.endswith(".plan")}
    if "index/tokenizer.json" in files:
        kept["index/tokenizer.json"] = files["index/tokenizer.json"]  # the encoder's
    return kept


def check_nobody_forgotten(bundle: Bundle, state: State) -> None:
    """Checks that a bundle holds nobody who asked to be forgotten after it was made.

    Raises:
        SwitchError: Saying how many it holds, and the remedy.
        StateUnavailableError: Where the log does not answer.
    """
    held = bundle.snapshot_position
    upto = held.position if held.id == state.log.id else 0
    forgotten = {
        hashed_name(logged.entry.user)
        for logged in state.log.wishes()
        if isinstance(logged.entry, Forget) and logged.position > upto
    }
    if not forgotten:
        return
    count = len(bundle.user_names() & forgotten)
    if count:
        raise SwitchError(
            f"{bundle.root}: holds {count:,} users who were forgotten since; `fuserank export refresh` makes a bundle "
            "without them, or leave them out of the files that it is exported from"
        )
