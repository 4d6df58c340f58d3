"""Makes the next bundle from the last one and the log.

What stays as it is is linked or carried over: engines, synonyms, the vectors of texts and of the graph. The catalogue's
arrays, the words, the histories and what is counted are made anew from the bundle's own records and events with those
of the log; the factors and the ranker go on from the last ones.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import EVENTS, PAIRS, RANKER_WEIGHTS, REFERENCE, SYNONYMS, TOKENIZER, Bundle
from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.catalog.tokens import EncoderVocabulary
from fuserank_ensemble.interactions.events import EVENTS as KINDS
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.vectors.build import build_index
from fuserank_ensemble.state.identity import IdentityKey, hashed_name
from fuserank_ensemble.state.settings import State
from fuserank_ensemble.state.tail import SnapshotPosition
from fuserank_export.builder.learn import write_completions
from fuserank_export.builder.options import FileReading, OutputOptions, VectorStoreOptions
from fuserank_export.builder.query_counts import QueryPrivacy
from fuserank_export.builder.steps import StepSeconds
from fuserank_export.builder.vector_store import drop_abandoned, fill_vector_store
from fuserank_export.builder.workspace import Workspace, open_workspace
from fuserank_export.errors import ExportError
from fuserank_export.forked import started
from fuserank_export.index.catalog import Indexed, index_catalog, replace_synonyms
from fuserank_export.index.units import unit_table
from fuserank_export.index.users import user_key
from fuserank_export.index.write import write_histories, write_items
from fuserank_export.learning.event_strengths import weigh_log
from fuserank_export.learning.interactions import learn
from fuserank_export.progress import Progress
from fuserank_export.refresh.carry import (
    Carried,
    carry_learned,
    carry_pairs,
    carry_vectors,
    find_carried,
    open_text_encoder,
)
from fuserank_export.refresh.catalog import ChangedCatalog, change_catalog
from fuserank_export.refresh.events import link, write_events
from fuserank_export.refresh.gate import check_refreshed
from fuserank_export.refresh.log_part import LogPart
from fuserank_export.refresh.ranker import KEPT_AS_TOLD, ContinuedRanker, continue_ranker
from fuserank_export.refresh.vector_store import store_of
from fuserank_export.repository.sealing import seal, seal_bundle
from fuserank_export.repository.successor import is_configuration
from fuserank_export.repository.warmup import write_warmup
from fuserank_export.sources import Interactions, read_interactions
from fuserank_export.training.cases.span import LogSpan
from fuserank_export.training.model.engine import RankerEngine, write_ranker
from fuserank_export.training.model.weights import write_weights

RANKER_FILES = ("model_repository/ranker/1/", f"index/{RANKER_WEIGHTS}")


class RefusedError(ExportError):
    """The refreshed bundle is worse than the last one, and was not kept; the message says by what."""


@dataclass(frozen=True)
class _Base:
    """What a refresh begins with."""

    bundle: Bundle
    part: LogPart
    key: IdentityKey
    keep_ranker: bool

    @property
    def gone(self) -> frozenset[str]:
        """Names of the users in the bundle who were forgotten."""
        return frozenset(self.bundle.user_names() & {hashed_name(who) for who in self.part.forgotten})


def refresh_bundle(
    bundle: Bundle, state: State, out: OutputOptions, progress: Progress, *, keep_ranker: bool = False
) -> dict[str, Any] | None:
    """Makes the next bundle.

    Args:
        bundle: The last one, verified; it is not changed.
        state: The log.
        out: Where the next one goes.
        progress: Shows the steps.
        keep_ranker: The last ranker stays: an ensemble that runs, whose engines Triton holds, takes no other.

    Returns:
        The manifest; None where the log holds nothing that the bundle does not.

    Raises:
        InputError: Where there is a gap between the bundle and the log, or the output's place is taken.
        BundleError: Where the bundle names users under another key than the log.
        RefusedError: Where the next bundle is worse; a report lies beside its place.
        StateUnavailableError: Where the log does not answer.
    """
    bundle.check_user_key(state.key)
    steps = StepSeconds()
    with steps.measure("log"), progress.step("reading the log"):
        part = LogPart.read(state, bundle.snapshot_position)
    if not part.entries:
        return None
    base = _Base(bundle, part, state.key, keep_ranker)
    store = store_of(bundle) or VectorStoreOptions()
    drop = partial(drop_abandoned, options=store, progress=progress)
    # Each night's bundle has another place: what one left in Milvus that was killed is for the next to drop.
    with open_workspace(out, progress, drop, beside=bool(store.milvus)) as work:
        manifest = _build(work, base, steps)
        if problems := manifest["refresh"]["gate"]["problems"]:
            report = out.folder.with_name(f"{out.folder.name}.refused.json")
            report.write_text(json.dumps(manifest["refresh"], indent=2) + "\n", "utf-8")
            raise RefusedError(f"{'; '.join(problems)}. The bundle was not kept; {report} has the figures")
    return manifest


def _build(work: Workspace, base: _Base, steps: StepSeconds) -> dict[str, Any]:
    old = base.bundle
    with steps.measure("catalog"), work.progress.step("applying changes of the catalogue"):
        changed = change_catalog(old, base.part.items)
    store = store_of(old)

    def write_words() -> int:
        return _write_words(work, old, changed)

    # In a process of its own, for it takes a third of all and needs nothing of the log; but gRPC, by which Milvus is
    # reached, hangs in a process that was forked after it was used.
    with nullcontext(write_words) if store else started(write_words) as words:
        with steps.measure("read"):
            log = _read_log(work, base, changed.catalog.item_ids)
        with steps.measure("index"), work.progress.step("indexing the catalogue"):
            synonyms = _given_synonyms(old)
            indexed = index_catalog(changed.catalog, old.spec.text_template, synonyms, changed.records)
            write_items(work.index, indexed)
            write_histories(work.index, log)
        carried = find_carried(old, indexed, changed.retexted)
        encoder = open_text_encoder(old)
        with steps.measure("embed"), work.progress.step("embedding new texts"):
            vectors = carry_vectors(old, indexed.texts, carried, encoder, work.index / "vectors.npy")
            if old.spec.text_candidates:
                carry_pairs(old, indexed.texts, work.index / PAIRS)
        with steps.measure("learn"):
            search = _learn(work, base, indexed, carried, log, vectors)
        with steps.measure("words"), work.progress.step("indexing words"):
            search |= {"lexical": {"items_with_words": words()}}
        with steps.measure("ranker"):
            ranker = KEPT_AS_TOLD
            if not base.keep_ranker:
                ranker = continue_ranker(old, base.part, log, carried.rows, work.out.seed, work.progress)
    described = _manifest(base, changed, indexed, carried, log) | {"search": search}
    with steps.measure("seal"), work.progress.step("sealing"):
        user = log.user_ids[0] if log.user_ids else base.key.user_name("anonymous")
        warm_up = partial(write_warmup, query=indexed.titles[0][:3], user=user)
        manifest, known = _seal(work, old, described, ranker, warm_up)
    with steps.measure("gate"), work.progress.step("comparing with the last bundle"):
        compare = partial(check_refreshed, old, work.folder, indexed, carried, encoder, base.gone, work.out.seed)
        gate = compare()
        if gate.problems and ranker.taken is not None:
            # What it learned of the latest requests costs earlier ones more than is allowed: the last one stays.
            manifest, known = _seal(work, old, described, ranker.refused("; ".join(gate.problems)), warm_up)
            gate = compare()
    manifest["refresh"]["gate"] = gate.to_dict()
    if store and not gate.problems:
        manifest |= fill_vector_store(work, store, str(manifest["id"]), indexed.items, vectors)
    manifest |= {"export_seconds": round(steps.total, 1), "export_steps": steps.to_dict()}
    return seal(work.folder, manifest, known)


def _seal(
    work: Workspace,
    bundle: Bundle,
    described: Mapping[str, Any],
    ranker: ContinuedRanker,
    warm_up: Callable[[Bundle], None],
) -> tuple[dict[str, Any], dict[str, str]]:
    """Adds the ranker and what stays of the last bundle, and seals.

    Args:
        work: The bundle, whole but for these; sealing it once more replaces them.
        bundle: The last bundle.
        described: The manifest but for the ranker.
        ranker: What became of the ranker.
        warm_up: Writes the warm-up requests of a bundle.

    Returns:
        The manifest, and the hashes of files that stay as they are.
    """
    shutil.rmtree(work.folder / "model_repository", ignore_errors=True)
    known = _link_kept(work, bundle, dropped=RANKER_FILES if ranker.taken else ())
    manifest = {**described, "refresh": {**described["refresh"], "ranker": ranker.report.to_dict()}}
    if ranker.taken:
        write_weights(ranker.taken, work.index / RANKER_WEIGHTS)
        folder = work.folder / "model_repository" / "ranker" / "1"
        report, cost = write_ranker(RankerEngine(ranker.taken), folder, bundle.spec)
        manifest |= {"ranker": {**bundle.manifest["ranker"], **report}, "ranker_ms": cost}
    sealed = seal_bundle(work.folder, manifest, known)
    warm_up(Bundle.open(work.folder, verify=()))
    return sealed, known


def _read_log(work: Workspace, base: _Base, item_ids: list[str]) -> Interactions:
    """Writes the next bundle's events, and reads them as an export reads a log."""
    old, folder = base.bundle, work.folder / EVENTS
    write_events(old.root / EVENTS, folder, base.part)
    if not folder.exists():
        return Interactions.empty()
    reading = FileReading.from_manifest(old.manifest["inputs"]["reading"])
    with work.progress.step("reading the events"):
        log = read_interactions(
            folder,
            item_ids,
            max_unknown_share=1.0,  # items come and go
            disliked_below=reading.disliked_below,
            most_a_day=reading.most_a_day,
        )
    # What a kind of event counts is what the ranker was trained with; a shop's first log teaches it.
    table = old.event_table if old.manifest["counts"]["events"] else None
    return replace(weigh_log(log, table), segments=old.segments.without(base.gone))


def _learn(
    work: Workspace, base: _Base, indexed: Indexed, carried: Carried, log: Interactions, vectors: NDArray[np.float16]
) -> dict[str, Any]:
    """Writes what the channels search; returns the manifest's `search`."""
    old, folder = base.bundle, work.index
    end = LogSpan.of(log.timestamp).end if len(log) else time.time()
    start = carry_learned(old, carried)
    with work.progress.step("learning from the log"):
        learned, report = learn(folder, log, indexed.shop, end, work.out.seed, start=start)
    with work.progress.step("indexing vectors and completions"):
        report["dense"] = build_index(vectors, folder / "vectors.faiss", trained=start.index / "vectors.faiss")
        language = EncoderVocabulary(old.tokenizer)
        privacy = QueryPrivacy.from_report(old.manifest["search"]["suggest"])
        report["suggest"] = write_completions(folder, indexed, learned.popularity.counts, log, language, privacy)
    return {**old.manifest["search"], **report}


def _write_words(work: Workspace, old: Bundle, changed: ChangedCatalog) -> int:
    """Writes the words that are searched, or links those of the last bundle; returns how many items have any."""
    folder, before, spec = work.index / "lexical", old.root / "index" / "lexical", old.spec
    if changed.reworded:
        searched = replace_synonyms(changed.records, _given_synonyms(old))
        return LexicalIndex.write(folder, searched, spec.lexical_fields, unit_table(), spec.code_fields)
    for path in (path for path in before.rglob("*") if path.is_file()):
        link(path, folder / path.relative_to(before))
    return int(old.manifest["search"]["lexical"]["items_with_words"])


def _given_synonyms(bundle: Bundle) -> Synonyms:
    """The synonyms that the shop gave: items are laid out with these alone."""
    learned = bundle.manifest["search"]["synonyms"]["learned"]
    of_bundle = Synonyms.open(bundle.root / "index" / SYNONYMS).replacements
    return Synonyms({word: to for word, to in of_bundle.items() if learned.get(word) != to})


def _link_kept(work: Workspace, bundle: Bundle, dropped: tuple[str, ...]) -> dict[str, str]:
    """Links the files that stay, but for those whose paths begin as one of `dropped`; returns their hashes by path."""
    alike = tuple(f"index/{name}" for name in (TOKENIZER, REFERENCE, SYNONYMS, RANKER_WEIGHTS))
    kept = {
        name: digest
        for name, digest in bundle.manifest["files"].items()
        if not name.startswith(dropped)
        and (
            name in alike
            or (name.startswith("model_repository/") and not is_configuration(name) and "/warmup/" not in name)
        )
    }
    for name in kept:
        (work.folder / name).unlink(missing_ok=True)
        link(bundle.root / name, work.folder / name)
    return kept


def _manifest(
    base: _Base, changed: ChangedCatalog, indexed: Indexed, carried: Carried, log: Interactions
) -> dict[str, Any]:
    """Returns the next bundle's manifest but for its id, its files and what is measured at the end."""
    old, part = base.bundle, base.part
    computed = int((carried.texts < 0).sum())
    kept = {name: value for name, value in old.manifest.items() if name not in ("id", "files", "refresh", "milvus")}
    return kept | {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_from": old.id,
        "fields": sorted({name for record in indexed.records for name in record}),
        "events": log.table.to_dict(),
        "log_end": int(LogSpan.of(log.timestamp).end) - 1 if len(log) else int(time.time()),
        "live_log": asdict(SnapshotPosition(part.held.id, part.position)),
        "user_key": user_key(base.key, log),
        "counts": {
            "items": len(indexed.items),
            "texts": len(indexed.texts),
            "users": len(log.user_ids),
            "events": len(log),
            "purchases": int((log.event == KINDS.index("purchase")).sum()),
        },
        "embedding": {**old.manifest["embedding"], "texts": len(indexed.texts), "computed": computed},
        "refresh": {
            "from": old.id,
            "entries": part.entries,
            "positions": [part.held.position, part.position],
            "events": len(part.events),
            "items": {name: getattr(changed, name) for name in ("changed", "added", "deleted", "untitled")},
            "texts_embedded": computed,
            "forgotten": len(base.gone),
        },
    }
