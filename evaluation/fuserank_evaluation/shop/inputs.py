"""Reads a shop's files, and gives each window the part of them that its bundle may know."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_ensemble.state.identity import IdentityKey
from fuserank_evaluation.datasets.cases import Rows
from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_export.builder.options import DEFAULT_SEED, InputFiles
from fuserank_export.builder.read import Behaviour, read_behaviour
from fuserank_export.layouts.mapping import LogMapping
from fuserank_export.learning.event_strengths import weigh_log
from fuserank_export.progress import Progress
from fuserank_export.sources import read_catalog, read_interactions
from fuserank_export.sources.interactions import Interactions
from fuserank_export.sources.judgements import read_judgements
from fuserank_export.sources.report import RowReport
from fuserank_export.sources.users import read_users
from fuserank_export.training.cases.span import LogSpan
from fuserank_export.training.cases.split import window_bounds

LEAST_TAUGHT = 30  # judged queries with a right answer that a ranker is taught; of fewer, all are asked


@dataclass(frozen=True)
class FileRows:
    """What became of a file's rows.

    Attributes:
        file: Its name.
        read: Rows that were read.
        bad: Those that could not be used.
        unknown_item: Those of items that the catalogue lacks.
    """

    file: str
    read: int
    bad: int
    unknown_item: int

    @classmethod
    def of(cls, report: RowReport) -> FileRows:
        """Takes the counts of a report."""
        return cls(Path(report.file).name, report.read, report.bad, report.unknown_item)

    @property
    def dropped(self) -> int:
        """Rows that were left out."""
        return self.bad + self.unknown_item


@dataclass(frozen=True)
class MeasuredLog:
    """How much log there is to measure on.

    Attributes:
        events: How many events.
        days: From the first to the last.
        windows: How many windows of time were measured.
        wanted: How many were asked for.
    """

    events: int
    days: float
    windows: int
    wanted: int


@dataclass(frozen=True)
class ShopData:
    """A shop's files as read.

    Attributes:
        files: Where they are, and how they are read.
        catalog: The catalogue, a row an item in the order of a bundle's rows.
        log: The log, with what the shop says of its users; may be empty.
        events: The log in the input format, Parquet; None where it is empty.
        judged: Queries with grades by the item's row as text; None without any.
        reports: What became of the rows of each file.
    """

    files: InputFiles
    catalog: pd.DataFrame
    log: Interactions
    events: Path | None
    judged: JudgedQueries | None
    reports: tuple[RowReport, ...] = ()

    @classmethod
    def read(cls, files: InputFiles, folder: Path, key: IdentityKey, progress: Progress) -> ShopData:
        """Reads the files.

        Args:
            files: The files.
            folder: Gets the log in the input format.
            key: The key of users in it and in the bundles that are made of it.
            progress: Shows the steps.

        Raises:
            InputError: Where a file cannot be used.
        """
        with progress.step("reading the catalogue"):
            catalog = read_catalog(
                files.catalog, max_bad_share=files.max_bad_rows, reading=files.reading, mapping=files.mappings.catalog
            )
        reports = [catalog.report]
        events = folder / "events.parquet"
        events.unlink(missing_ok=True)
        log = Interactions.empty()
        if files.interactions:
            with progress.step("reading the interactions"):
                log = read_interactions(
                    files.interactions,
                    catalog.item_ids,
                    max_bad_share=files.max_bad_rows,
                    max_unknown_share=files.max_unknown_items,
                    disliked_below=files.disliked_below,
                    most_a_day=files.most_a_day,
                    reading=files.reading,
                    mapping=files.mappings.interactions,
                    archive=events,
                    key=key,
                )
            reports.append(log.report)
        if files.users:
            with progress.step("reading the users"):
                users, report = read_users(
                    files.users, max_bad_share=files.max_bad_rows, reading=files.reading, mapping=files.mappings.users
                )
            log = replace(log, segments=users)
            reports.append(report)
        judged = None
        if files.queries and files.judgements:
            read = read_judgements(
                files.queries,
                files.judgements,
                catalog.item_ids,
                max_bad_share=files.max_bad_rows,
                encoding=files.reading.encoding,
            )
            judged = JudgedQueries(read.queries, whole_grades(read.grades))
            reports += read.reports
        for report in reports:
            progress.note(str(report))
        return cls(files, catalog.items, log, events if len(log) else None, judged, tuple(reports))

    def windows(self, count: int) -> list[tuple[float, float]]:
        """Where the log's last windows begin and end, epoch seconds, the latest first; none where it is too short.

        A window is as long as one of the ranker's training. Before each there are events to learn from.
        """
        timestamps = self.log.timestamp
        bounds = window_bounds(timestamps, LogSpan.of(timestamps))[::-1]
        windows = list(zip(bounds[1:], bounds, strict=False))[:count]
        return [(start, end) for start, end in windows if timestamps[0] < start]

    def measured_log(self, windows: int, wanted: int) -> MeasuredLog:
        """How much log there is; of the wanted windows there are `windows`."""
        timestamps = self.log.timestamp
        days = float(timestamps[-1] - timestamps[0]) / SECONDS_PER_DAY if len(timestamps) else 0.0
        return MeasuredLog(len(timestamps), days, windows, wanted)

    @property
    def taught(self) -> JudgedQueries | None:
        """The third of the judged queries that the ranker is taught; None where there are too few to spare."""
        part = self.judged.part(tuned=True) if self.judged else None
        if part is None or sum(any(by_row.values()) for by_row in part.grades.values()) < LEAST_TAUGHT:
            return None
        grades = {grade for by_row in part.grades.values() for grade in by_row.values()}
        return part if len(grades) > 1 else None

    @property
    def asked(self) -> JudgedQueries | None:
        """The judged queries that the ranker is not taught and that have a right answer; None without any."""
        if self.judged is None:
            return None
        part = self.judged.part(tuned=False) if self.taught else self.judged
        kept = {query: text for query, text in part.queries.items() if max(part.grades[query].values(), default=0) > 0}
        return JudgedQueries(kept, {query: part.grades[query] for query in kept}) if kept else None

    def files_before(self, moment: float | None, folder: Path) -> InputFiles:
        """Writes what may be known at a moment, and returns it as files to export from.

        Args:
            moment: Epoch seconds; events from it on are left out. None leaves out the log.
            folder: Gets the files.
        """
        mappings = replace(self.files.mappings, interactions=LogMapping())
        known = replace(self.files, interactions=None, queries=None, judgements=None, mappings=mappings)
        if self.events is not None and moment is not None:
            path = folder / "known.parquet"
            pq.write_table(pq.read_table(self.events, filters=[("timestamp", "<", math.ceil(moment))]), path)
            known = replace(known, interactions=path)
        if self.taught:
            queries, judgements = self._write_judged(self.taught, folder)
            known = replace(known, queries=queries, judgements=judgements)
        return known

    def behaviour_before(self, moment: float | None, known: InputFiles, progress: Progress) -> Behaviour:
        """What a bundle's ranker learns from that is exported from `known`, the files before a moment."""
        log = self.log.as_of(moment or 0.0)
        read = read_behaviour(
            replace(known, interactions=None),
            self.catalog["item_id"].tolist(),
            seed=DEFAULT_SEED,
            has_tower=False,
            progress=progress,
        )
        return replace(read, log=weigh_log(log))

    def _write_judged(self, judged: JudgedQueries, folder: Path) -> tuple[Path, Path]:
        queries, judgements = folder / "queries.jsonl", folder / "judgements.tsv"
        encoding = self.files.reading.encoding or "utf-8"  # the export reads all files in the one that is declared
        lines = [
            json.dumps({"query_id": str(number), "query": text}, ensure_ascii=False)
            for number, text in enumerate(judged.queries.values())
        ]
        queries.write_text("\n".join(lines) + "\n", encoding)
        ids = self.catalog["item_id"]
        rows = [
            f"{number}\t{ids[int(row)]}\t{grade}"
            for number, query in enumerate(judged.queries)
            for row, grade in judged.grades[query].items()
        ]
        judgements.write_text("\n".join(rows) + "\n", encoding)
        return queries, judgements


def whole_grades(grades: Mapping[str, Mapping[int, float]]) -> dict[str, dict[str, int]]:
    """Grades as ir-measures takes them, by the item's row as text.

    Where some are no whole numbers, each becomes its place among the distinct grades above 0; the others are 0.
    """
    distinct = sorted({grade for by_row in grades.values() for grade in by_row.values() if grade > 0})
    whole = all(float(grade).is_integer() for grade in distinct)
    meaning = {grade: int(grade) if whole else place for place, grade in enumerate(distinct, start=1)}
    return {
        query: {str(row): meaning.get(grade, 0) for row, grade in by_row.items()} for query, by_row in grades.items()
    }


def relevant_rows(judged: JudgedQueries) -> list[Rows]:
    """The rows of the items with a grade above 0, for each query."""
    return [
        np.asarray(sorted(int(row) for row, grade in by_row.items() if grade > 0), np.int32)
        for by_row in judged.grades.values()
    ]
