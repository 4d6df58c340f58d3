"""The step `read`: a shop's files become a validated catalogue, log and judged queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.interactions.events import EventTable
from fuserank_export.builder.held_log import HeldLog
from fuserank_export.builder.options import BehaviourFiles, InputFiles, OutputOptions
from fuserank_export.index.catalog import NO_SYNONYMS
from fuserank_export.index.users import match_users
from fuserank_export.learning.event_strengths import weigh_log
from fuserank_export.progress import Progress
from fuserank_export.sources import Catalog, Interactions, RowReport, read_catalog, read_interactions
from fuserank_export.sources.identity import is_meant
from fuserank_export.sources.synonyms import read_synonyms
from fuserank_export.sources.users import read_users
from fuserank_export.training.cases.judged import judged_queries, read_labelled
from fuserank_export.training.cases.training_query import TrainingQuery
from fuserank_export.training.text.data.labels import split_labelled_queries

_TOO_FEW_JUDGED = (
    "Judge more queries, or leave out --queries and --judgements: the ranker then learns from the log, and without one "
    "from queries made of the catalogue."
)


@dataclass(frozen=True)
class Behaviour:
    """What a ranker learns from.

    Attributes:
        log: The log; may be empty.
        judged: Judged queries; may be none.
    """

    log: Interactions
    judged: list[TrainingQuery]


@dataclass(frozen=True)
class ShopData:
    """What a bundle is made from.

    Attributes:
        catalog: The catalogue, sorted by id.
        synonyms: Words that mean the same.
        behaviour: The log and the judged queries.
        users_report: What became of the rows of the users' file; None without one.
    """

    catalog: Catalog
    synonyms: Synonyms
    behaviour: Behaviour
    users_report: RowReport | None = None

    def without_items(self) -> ShopData:
        """Returns the same without the catalogue's rows, which take as much memory as all that is made of them."""
        return replace(self, catalog=replace(self.catalog, items=self.catalog.items.iloc[:0].copy()))


def read_shop(
    files: InputFiles,
    out: OutputOptions,
    *,
    has_tower: bool,
    progress: Progress,
    archive: Path,
    held: HeldLog,
) -> ShopData:
    """Reads a shop's files; rows that are refused are listed beside the bundle.

    Args:
        files: The files.
        out: The bundle, beside which the lists lie; its seed splits the judged queries.
        has_tower: Whether the ranker has a text tower, see `judged_queries`.
        progress: Shows the steps.
        archive: A file for the log's valid rows, see `EventArchive`.
        held: What the files hold of a log of live events; who was forgotten there is left out.

    Raises:
        InputError: Where a file cannot be used.
    """
    synonyms = read_synonyms(files.synonyms) if files.synonyms else NO_SYNONYMS
    with progress.step("reading the catalogue"):
        catalog = read_catalog(
            files.catalog,
            max_bad_share=files.max_bad_rows,
            bad_rows_path=out.rejected_rows("catalog"),
            reading=files.reading,
            mapping=files.mappings.catalog,
        )
    progress.note(str(catalog.report))
    behaviour = read_behaviour(
        files,
        catalog.item_ids,
        seed=out.seed,
        has_tower=has_tower,
        progress=progress,
        rejected_rows=out.rejected_rows("interactions"),
        archive=archive,
        held=held,
    )
    users_report = None
    if files.users:
        with progress.step("reading the users"):
            segments, users_report = read_users(
                files.users,
                max_bad_share=files.max_bad_rows,
                bad_rows_path=out.rejected_rows("users"),
                reading=files.reading,
                mapping=files.mappings.users,
            )
        progress.note(str(users_report))
        segments = segments.without(
            [name for name in map(bytes.decode, segments.users.tolist()) if is_meant(name, held.is_forgotten)]
        )
        matched = match_users(segments, behaviour.log, held.key)
        if twice := len(segments) - len(matched):
            progress.note(
                f"{files.users}: {twice:,} rows are of users who are there by id and by hash; the first counts"
            )
        behaviour = replace(behaviour, log=replace(behaviour.log, segments=matched))
    return ShopData(catalog, synonyms, behaviour, users_report)


def read_behaviour(
    files: BehaviourFiles,
    item_ids: Sequence[str],
    *,
    seed: int,
    has_tower: bool,
    progress: Progress,
    rejected_rows: Path | None = None,
    table: EventTable | None = None,
    archive: Path | None = None,
    held: HeldLog | None = None,
) -> Behaviour:
    """Reads the log and the judged queries of known items.

    Args:
        files: The files.
        item_ids: The catalogue's ids, in the order of their rows.
        seed: Splits the judged queries as `export train text-tower` does under the same seed.
        has_tower: Whether the ranker has a text tower, see `judged_queries`.
        progress: Shows the steps.
        rejected_rows: File for the rows of the log that are refused; None writes none.
        table: What each kind of event counts; None learns it from the log.
        archive: A file for the log's valid rows, see `EventArchive`; None writes none.
        held: What the files hold of a log of live events, and the archive's key; None leaves nobody out.

    Raises:
        InputError: Where a file cannot be used.
    """
    judged: list[TrainingQuery] = []
    if files.queries and files.judgements:
        labelled = read_labelled(
            files.queries, files.judgements, item_ids, files.max_bad_rows, progress, files.reading.encoding
        )
        parts = split_labelled_queries(labelled.queries, seed, source=str(files.judgements), remedy=_TOO_FEW_JUDGED)
        judged = judged_queries(parts, has_tower)
    if files.interactions is None:
        return Behaviour(Interactions.empty(), judged)
    with progress.step("reading the interactions"):
        log = read_interactions(
            files.interactions,
            item_ids,
            max_bad_share=files.max_bad_rows,
            bad_rows_path=rejected_rows,
            max_unknown_share=files.max_unknown_items,
            disliked_below=files.disliked_below,
            most_a_day=files.most_a_day,
            reading=files.reading,
            mapping=files.mappings.interactions,
            archive=archive,
            key=held.key if held else None,
            is_left_out=held.is_forgotten if held and held.forgotten else None,
        )
    progress.note(str(log.report))
    return Behaviour(weigh_log(log, table), judged)
