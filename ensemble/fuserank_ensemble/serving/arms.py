"""The bundles of an experiment's arms, which a server answers from beside the served one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.contract.experiment import Experiment, ExperimentError
from fuserank_ensemble.graph.stages import search_stages
from fuserank_ensemble.serving.engines import check_engines
from fuserank_ensemble.serving.models import check_path
from fuserank_ensemble.serving.switch.checks import check_fits, check_nobody_forgotten
from fuserank_ensemble.serving.switch.folder import BundlePlace, SwitchError
from fuserank_ensemble.serving.switch.step import place_of
from fuserank_ensemble.spec import GraphSpec, Target
from fuserank_ensemble.state.log import StateUnavailableError
from fuserank_ensemble.state.settings import State, StateSettings

# The models that answer in an arm; `similar`, `suggest` and those that change the state are the served bundle's.
DEALT_MODELS = frozenset({"search", *(stage.name for stage in search_stages(GraphSpec()) if stage.kind == "python")})


def arm_places(experiment: Experiment | None) -> list[BundlePlace]:
    """Returns the bundles of an experiment's arms, each once."""
    folders = [Path(arm.bundle) for arm in experiment.arms if arm.bundle] if experiment else []
    return [place_of(folder) for folder in dict.fromkeys(folders)]


def check_arms(experiment: Experiment, served: Bundle, target: Target, settings: StateSettings | None) -> None:
    """Checks that a server can answer from the bundles of an experiment's arms beside the served one.

    Args:
        experiment: The experiment.
        served: The bundle that is served.
        target: How the server runs the graph.
        settings: Where events are kept; None where none are.

    Raises:
        ExperimentError: Where it cannot, naming the arm, or where a bundle holds somebody who was forgotten since.
        StateError: Where the state cannot be used as it is configured.
    """
    for arm in experiment.arms:
        if not arm.bundle:
            continue
        try:
            check_path(Path(arm.bundle))
            bundle = Bundle.open(Path(arm.bundle))
            check_engines(bundle, target)
            if bundle.id == served.id:
                raise SwitchError(f"{bundle.root}: is the served bundle; leave `bundle` out")
            check_fits(bundle, served, target)
            if served.user_key and bundle.user_key not in ("", served.user_key):
                raise SwitchError(
                    f"{bundle.root}: names users under another key than {served.id}; export it under the same key"
                )
            if settings is not None:
                with suppress(StateUnavailableError):
                    state = State.open(settings)
                    try:
                        check_nobody_forgotten(bundle, state)
                    finally:
                        state.log.close()
        except (BundleError, SwitchError) as error:
            raise ExperimentError(f"experiment: arm {arm.name}: {error}") from None
