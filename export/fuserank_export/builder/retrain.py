"""`fuserank export train ranker`: a bundle's ranker is trained anew, and all else of the bundle stays as it is.

It runs the steps read, train and seal of an export; what index, embed and learn made is the old bundle's.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from fuserank_ensemble.bundle import RANKER_WEIGHTS, REFERENCE, Bundle
from fuserank_ensemble.graph.stages import ENCODER, query_encoder_of
from fuserank_ensemble.interactions.segments import UserSegments
from fuserank_ensemble.spec import GraphSpec
from fuserank_ensemble.state.identity import subject_named
from fuserank_ensemble.state.keys import key_file_beside, read_key
from fuserank_ensemble.state.log import StateError
from fuserank_export.builder.options import BehaviourFiles, OutputOptions, RankerOptions
from fuserank_export.builder.read import Behaviour, read_behaviour
from fuserank_export.builder.seal import chosen_engines
from fuserank_export.builder.train import TrainedRanker, TrainingInputs, train_on_index, write_trained
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.index.shop import Shop
from fuserank_export.index.users import rename_users
from fuserank_export.progress import Progress
from fuserank_export.repository.place import check_place
from fuserank_export.repository.successor import write_successor
from fuserank_export.sources import InputError, Interactions
from fuserank_export.training.fitting.budget import TimeBudget
from fuserank_export.training.text.tower import load_replacement_tower

ENGINES = ("model_repository/ranker/1/", "model_repository/text_tower/1/")


def retrain_ranker(
    bundle: Path,
    *,
    files: BehaviourFiles,
    out: OutputOptions,
    ranker: RankerOptions | None = None,
    progress: Progress | None = None,
    key_file: Path | None = None,
) -> dict[str, Any] | None:
    """Trains a bundle's ranker anew, with the weights of fusion that it orders by.

    The catalogue, its vectors and words, what the channels know of the log, and the encoder's engines stay as they
    are. Of ranker and text tower only FP32 and FP16 engines are written, as by an export: others were measured for the
    old one.

    Args:
        bundle: The bundle; it is not changed.
        files: What the ranker learns from.
        out: The bundle to write.
        ranker: How it is trained; by default as the command line does, with the bundle's own text tower.
        progress: Shows the steps; on standard error by default.
        key_file: The key of the bundle's users, for what the shop says of them; None takes the one beside the bundle.

    Returns:
        The new bundle's manifest; None in every process but the first that the launcher started.

    Raises:
        InputError: Where the input cannot be used, the text tower is not the bundle's, or the output's place is taken.
        BundleError: Where the bundle's parts do not belong together.
    """
    ranker, progress = ranker or RankerOptions(), progress or Progress()
    budget = TimeBudget(ranker.time_budget) if ranker.time_budget else None
    if files.interactions is None and files.queries is None:
        raise InputError("found neither --interactions nor --queries: there is nothing to learn from; give one or both")
    check_place(out.folder, out.force)
    with progress.step("verifying the bundle"):
        old = Bundle.open(bundle)
    own_tower = old.manifest["inputs"]["text_tower"] if old.spec.text_candidates else None
    tower_source = ranker.text_tower or own_tower
    tower = load_replacement_tower(old, tower_source) if tower_source else None
    behaviour = _read(old, files, out.seed, progress)
    behaviour = replace(behaviour, log=replace(behaviour.log, segments=segments_of_log(old, behaviour.log, key_file)))
    inputs = TrainingInputs(
        # What a log says of the channels is tuned as an export tunes it, from the same beginning.
        spec=replace(old.spec, channel_weights=GraphSpec().channel_weights) if len(behaviour.log) else old.spec,
        index=old.root / "index",
        shop=Shop.of_bundle(old),
        behaviour=behaviour,
        open_encoder=partial(open_query_encoder, old),
        tower=tower,
        encoder_id=old.id,
        signals_must_gain=False,  # another input of the ranker would need other configurations and warm-up requests
    )
    trained = train_on_index(inputs, ranker, out, progress, budget)
    if os.environ.get("RANK", "0") != "0":
        return None
    read_report: dict[str, Any] = {"quality": ranker.quality, "reading": files.to_manifest()}
    if files.interactions:
        read_report["interactions"] = behaviour.log.report.summary()
    manifest = _write(_Retrained(old, trained, read_report), out, progress)
    shutil.rmtree(out.resume, ignore_errors=True)
    return manifest


def segments_of_log(bundle: Bundle, log: Interactions, key_file: Path | None) -> UserSegments:
    """Returns what a bundle says of the users of a log, as that names them.

    A log that names users as bundles do, such as a bundle's own events, needs no key.

    Raises:
        InputError: Where the key is needed and cannot be read.
        BundleError: Where it is not the bundle's.
    """
    if not bundle.segments.columns or not log.user_ids:
        return bundle.segments
    names = {user: user for user in log.user_ids if subject_named(user)}
    if len(names) == len(log.user_ids):
        return rename_users(bundle.segments, names)
    try:
        key = read_key(key_file or key_file_beside(bundle.root))
    except StateError as error:
        raise InputError(f"the bundle names users under a key: {error}; name it with --state-key-file") from None
    bundle.check_user_key(key)
    return rename_users(bundle.segments, {key.user_name(user): user for user in log.user_ids} | names)


@dataclass(frozen=True)
class _Retrained:
    """A bundle, its new ranker, and what the manifest's `inputs` say of its training."""

    bundle: Bundle
    ranker: TrainedRanker
    read_report: dict[str, Any]


def _write(retrained: _Retrained, out: OutputOptions, progress: Progress) -> dict[str, Any]:
    """Writes the bundle with the new ranker; returns its manifest."""
    old, trained = retrained.bundle, retrained.ranker
    out.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.folder.parent, prefix=".ranker-") as scratch:
        folder = Path(scratch)
        written = write_trained(trained, folder / "model_repository", folder, progress)
        engines = {str(path.relative_to(folder)): path for path in (folder / "model_repository").rglob("*.onnx*")}
        inputs = {
            **old.manifest["inputs"],
            **retrained.read_report,
            "text_tower": trained.tower.source if trained.tower else None,
        }
        return write_successor(
            old,
            out.folder,
            added={**engines, **{f"index/{name}": folder / name for name in (REFERENCE, RANKER_WEIGHTS)}},
            changes={
                **written,
                "search": {**old.manifest["search"], "fusion": trained.tuning},
                "inputs": inputs,
                "engines": chosen_engines(trained.spec, old.engine(ENCODER).name),
            },
            force=out.force,
            dropped=ENGINES,
        )


def _read(bundle: Bundle, files: BehaviourFiles, seed: int, progress: Progress) -> Behaviour:
    """Reads the log and the judgements of the bundle's items.

    Raises:
        InputError: Where a file cannot be used, or none of its events is of an item of the bundle.
    """
    item_ids = [item.decode() for item in bundle.items.ids.tolist()]
    has_tower = bundle.spec.text_candidates > 0
    # Histories stay the old bundle's, in which events count as much as they did.
    behaviour = read_behaviour(
        files, item_ids, seed=seed, has_tower=has_tower, progress=progress, table=bundle.event_table
    )
    if files.interactions and not len(behaviour.log) and not behaviour.judged:
        raise InputError(
            f"{files.interactions}: none of its events is of an item of {bundle.root}: there is nothing to learn "
            "from; give the log of this bundle's catalogue, or export the new catalogue with `export bundle`"
        )
    return behaviour


def open_query_encoder(bundle: Bundle) -> OnnxEncoder:
    """Returns what embeds the bundle's queries, as a CPU runs it."""
    tokenizer = Tokenizer.from_file(str(bundle.tokenizer))
    spec = bundle.spec
    return OnnxEncoder(bundle.engine(query_encoder_of(spec)), tokenizer, spec.pad_token_id, spec.length_buckets[-1])
