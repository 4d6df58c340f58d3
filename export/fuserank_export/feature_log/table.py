"""What the ranker read of the searches that a server sampled, as a table, and whether it is what is computed now."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.live.past import PastFeatures
from fuserank_ensemble.state.entries import FeatureSample
from fuserank_ensemble.state.identity import hashed_name
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import StateSettings
from fuserank_export.builder.held_log import check_log
from fuserank_export.sources import InputError

GROUP = 1_000  # samples that are written at once


@dataclass(frozen=True)
class FeatureLogReport:
    """What was written, and how it compares.

    Attributes:
        samples: Searches.
        rows: Their items.
        checked: Searches of which the features were computed again.
        equal: Those of these whose features are the same, bit by bit.
        others: Searches that other bundles answered, and that are left out.
    """

    samples: int
    rows: int
    checked: int
    equal: int
    others: int


def write_feature_log(bundle: Bundle, settings: StateSettings, out: Path, check: int = 0) -> FeatureLogReport:
    """Writes a row for each item that a sampled search was shown.

    Args:
        bundle: The bundle that answered; samples of others are left out, since their features are others.
        settings: Where the log is.
        out: The Parquet file to write; it is there when it is whole.
        check: How many samples to compute again, the newest ones.

    Raises:
        InputError: Where the log cannot be used, has samples of other bundles alone, or the file is there or cannot be
            written.
        BundleError: Where the log's key is not the bundle's.
    """
    if out.exists():
        raise InputError(f"{out}: exists already; name another file")
    partial = out.with_name(f".{out.name}.partial-{uuid.uuid4().hex}")
    try:
        check_log(settings)
        with closing(PastFeatures(bundle, settings)) as past:
            out.parent.mkdir(parents=True, exist_ok=True)
            samples, rows, newest = _write(partial, past, [feature.name for feature in bundle.layout.features], check)
            if past.others and not samples:
                raise InputError(
                    f"{settings.address}: found {past.others:,} samples, none of which the bundle {bundle.id} "
                    "answered; name the one that did with --bundle"
                )
            equal = sum(_is_equal(past, sample) for sample in newest)
        partial.replace(out)
    except StateError as error:
        raise InputError(str(error)) from None
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error}") from None
    finally:
        partial.unlink(missing_ok=True)
    return FeatureLogReport(samples, rows, len(newest), equal, past.others)


def _write(path: Path, past: PastFeatures, names: list[str], check: int) -> tuple[int, int, list[FeatureSample]]:
    """Writes all samples; returns how many they are, how many rows, and the newest ones."""
    samples, rows, newest = 0, 0, list[FeatureSample]()
    with pq.ParquetWriter(path, _schema(names), compression="zstd") as writer:
        for group in _groups(past.samples()):
            writer.write_table(_table(group, names))
            samples, rows = samples + len(group), rows + sum(len(sample.items) for _, sample in group)
            newest = [*newest, *(sample for _, sample in group)][-check:] if check else []
    return samples, rows, newest


def _is_equal(past: PastFeatures, sample: FeatureSample) -> bool:
    try:
        return past.of_sample(sample).tobytes() == sample.features
    except InvalidRequestError:
        return False


def _groups(samples: Iterator[tuple[int, FeatureSample]]) -> Iterator[list[tuple[int, FeatureSample]]]:
    group: list[tuple[int, FeatureSample]] = []
    for sample in samples:
        group.append(sample)
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group


def _schema(names: list[str]) -> pa.Schema:
    return pa.schema(
        {
            "sample": pa.string(),
            "log_position": pa.int64(),
            "timestamp": pa.float64(),
            "bundle": pa.string(),
            "user_id": pa.string(),
            "session_id": pa.string(),
            "query": pa.string(),
            "position": pa.int32(),
            "item_id": pa.string(),
            **{f"feature.{name}": pa.float32() for name in names},
        }
    )


def _table(group: list[tuple[int, FeatureSample]], names: list[str]) -> pa.Table:
    """Samples with their places in the log as rows of the file."""
    counts = [len(sample.items) for _, sample in group]
    features = np.concatenate([np.frombuffer(sample.features, np.float32) for _, sample in group])
    features = features.reshape(sum(counts), len(names))
    of_samples: list[list[Any]] = [
        [sample.event_id for _, sample in group],
        [position for position, _ in group],
        [sample.timestamp for _, sample in group],
        [sample.bundle for _, sample in group],
        [hashed_name(sample.user) if sample.user else None for _, sample in group],
        [hashed_name(sample.session) if sample.session else None for _, sample in group],
        [sample.query for _, sample in group],
    ]
    repeated = np.repeat(np.arange(len(group)), counts).tolist()
    columns = [[values[at] for at in repeated] for values in of_samples]
    places = [place for count in counts for place in range(1, count + 1)]
    items = [item for _, sample in group for item in sample.items]
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip([*columns, places, items], _schema([]), strict=True)]
        + [pa.array(features[:, at]) for at in range(len(names))],
        schema=_schema(names),
    )
