"""The bundles of an experiment's arms, which a server answers from beside the served one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.contract.experiment import Arm, Experiment, ExperimentError
from fuserank_ensemble.graph.stages import search_stages
from fuserank_ensemble.serving.engines import check_engines
from fuserank_ensemble.serving.models import check_path
from fuserank_ensemble.serving.signature import check_signature
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


def check_arms(
    experiment: Experiment,
    served: Bundle,
    target: Target,
    settings: StateSettings | None,
    trusted_key: Path | None = None,
) -> None:
    """Checks that a server can run an experiment, and answer from the bundles of its arms beside the served one.

    Args:
        experiment: The experiment.
        served: The bundle that is served.
        target: How the server runs the graph.
        settings: Where events are kept; None where none are.
        trusted_key: The file of the public keys of which one must have signed each bundle; None takes any.

    Raises:
        ExperimentError: Where it cannot, naming the arm; where no state is kept, since nobody would be in an arm; or
            where a bundle holds somebody who was forgotten since.
        StateError: Where the state cannot be used as it is configured.
    """
    if settings is None:
        raise ExperimentError(
            f"experiment {experiment.name}: found no state; allowed: with one, whose key deals people to the arms: "
            "serve with --state sqlite:/path or redis://host:port/0 (FUSERANK_STATE), or without --experiment"
        )
    state: State | None = None
    try:
        with suppress(StateUnavailableError):
            state = State.open(settings)
        key = state.key if state else settings.key_in_file()
        for arm in experiment.arms:
            if arm.bundle:
                _check_arm(arm, served, target, state, key.fingerprint if key else served.user_key, trusted_key)
    finally:
        if state:
            state.log.close()


def _check_arm(
    arm: Arm, served: Bundle, target: Target, state: State | None, user_key: str, trusted_key: Path | None
) -> None:
    """Checks one arm's bundle; `user_key` is the fingerprint of the key of users, empty where none is known.

    Raises:
        ExperimentError: See `check_arms`.
    """
    try:
        check_path(Path(arm.bundle))
        bundle = Bundle.open(Path(arm.bundle))
        check_signature(bundle, trusted_key)
        check_engines(bundle, target)
        if bundle.id == served.id:
            raise SwitchError(f"{bundle.root}: is the served bundle; leave `bundle` out")
        check_fits(bundle, served, target)
        if user_key and bundle.user_key not in ("", user_key):
            raise SwitchError(
                f"{bundle.root}: names users under the key {bundle.user_key}; allowed: {user_key}, the server's: "
                "export it with --state-key-file"
            )
        if state:
            with suppress(StateUnavailableError):
                check_nobody_forgotten(bundle, state)
    except (BundleError, SwitchError) as error:
        raise ExperimentError(f"experiment: arm {arm.name}: {error}") from None
