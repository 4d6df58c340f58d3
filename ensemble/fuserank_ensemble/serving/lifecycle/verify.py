"""Checks a bundle before Triton starts, and lays out the models of a target; what is wrong is named in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.contract.experiment import ExperimentError, experiment_from_environment
from fuserank_ensemble.serving.arms import check_arms
from fuserank_ensemble.serving.engines import check_engines
from fuserank_ensemble.serving.models import check_path, check_without, link_models
from fuserank_ensemble.serving.signature import add_trusted_key, check_signature
from fuserank_ensemble.serving.switch.fleet import pointer_of
from fuserank_ensemble.serving.switch.folder import BundlePlace, SwitchError, SwitchFolder
from fuserank_ensemble.serving.switch.promoted import read_promoted
from fuserank_ensemble.spec import SpecError, target_named
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import StateSettings, choose_key, key_file_from_environment


def main(arguments: Sequence[str] | None = None) -> str | None:
    """Compares a bundle's files with their hashes, its signature with the trusted keys, its engines with this machine.

    Args:
        arguments: Of the command line; None takes this process's own.

    Returns:
        Why the target must not serve the bundle, for `sys.exit`; None where it may.
    """
    parser = argparse.ArgumentParser(prog="python3 -m fuserank_ensemble.serving.lifecycle.verify", description=__doc__)
    parser.add_argument("bundle", type=Path, help="the bundle's folder, where Triton will find it")
    parser.add_argument("--target", required=True, help="what Triton will serve, as --model-config-name takes it")
    parser.add_argument("--models", type=Path, help="folder to fill with links to the target's models")
    parser.add_argument("--switch", type=Path, help="folder to make, by which the replica can go to another bundle")
    parser.add_argument("--without", action="append", default=[], help="a model that is not served")
    add_trusted_key(parser)
    options = parser.parse_args(arguments)
    try:
        target = target_named(options.target)
        root = read_promoted(pointer_of(options.bundle), options.bundle) if options.switch else options.bundle
        check_path(root)
        without = check_without(options.without)
        bundle = Bundle.open(root)
        signer = check_signature(bundle, options.trusted_key)
        check_engines(bundle, target)
        state, experiment = StateSettings.from_environment(), experiment_from_environment()
        key = choose_key(state, options.bundle, key_file_from_environment())
        if key is not None or state is None:
            bundle.check_user_key(key)
        if experiment:
            check_arms(experiment, bundle, target, state, options.trusted_key)
        if options.switch:
            SwitchFolder(options.switch).create(BundlePlace(bundle.id, str(bundle.root.resolve())))
    except (SpecError, BundleError, StateError, SwitchError, ExperimentError) as error:
        return f"error: {error}"
    if options.models:
        link_models(bundle, target, options.models, has_state=state is not None, without=without)
    signed = f", signed with the key {signer}" if signer else ""
    sys.stdout.write(
        f"bundle {bundle.id}: {len(bundle.manifest['files'])} files as exported, fit for {target}{signed}\n"
    )
    return None


if __name__ == "__main__":
    sys.exit(main())
