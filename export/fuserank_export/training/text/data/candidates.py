"""Reads a shop's files into labelled queries with candidates, the training data of the text models.

Of several processes under a launcher, one finds the candidates and writes them to a file; the others read it, and so
does a run that is resumed.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState  # type: ignore[import-untyped]

from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.catalog.text import query_text
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.vectors.build import build_index
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.builder.options import BehaviourFiles
from fuserank_export.encoder.load import load_encoder, read_prompts
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.encoder.onnx_export import export_onnx
from fuserank_export.encoder.prompts import choose_templates
from fuserank_export.files import write_atomically
from fuserank_export.index.catalog import NO_SYNONYMS, Indexed, index_catalog
from fuserank_export.index.units import unit_table
from fuserank_export.index.word_fields import choose_codes, choose_lexical_fields
from fuserank_export.progress import Progress
from fuserank_export.sources import read_catalog, read_interactions
from fuserank_export.sources.synonyms import read_synonyms
from fuserank_export.training.cases.judged import read_labelled
from fuserank_export.training.text.data.labels import (
    MIN_QUERIES,
    LabelledQueries,
    LabelledQuery,
    LabelSource,
    QuerySplit,
    label_from_catalog,
    label_from_log,
    split_labelled_queries,
)
from fuserank_export.training.text.data.pairs import RankedQuery, rank_queries

MAX_ITEM_TOKENS = 256  # of an item's text, for the vectors of retrieval
TOO_FEW: Mapping[LabelSource, str] = {
    "judgements": "Judge more queries, or leave out --queries and --judgements: others are then taken from the log, or "
    "made from the catalogue.",
    "log": "Give a longer log, or judged queries.",
    "catalog": "Give judged queries, a log with a query column, or more items with different titles and categories.",
}
MAX_EVALUATED = 500  # queries of validation, and of the held-out part, that are scored


@dataclass(frozen=True, kw_only=True)
class TextInputFiles(BehaviourFiles):
    """A shop's files, and how much of them is used. Judgements are used in place of the log.

    Attributes:
        catalog: The catalogue's file.
        synonyms: Words that mean the same, in Solr's format; None has none.
        lexical_fields: Columns whose words are searched, as an export has them.
        codes: Columns of codes, as an export has them.
        text_template: Layout of an item's text.
        query_template: Wraps a query for the encoder.
        max_queries: How many queries to train on at most.
        end: Epoch seconds; later events of the log are left out.
    """

    catalog: Path
    synonyms: Path | None = None
    lexical_fields: Mapping[str, float] | None = None
    codes: tuple[str, ...] | None = None
    text_template: str = GraphSpec.text_template
    query_template: str = GraphSpec.query_template
    max_queries: int = 20_000
    end: float = math.inf


@dataclass(frozen=True)
class TextData:
    """Queries with candidates for a text model's training and evaluation.

    Attributes:
        texts: Text by item row.
        train: Queries for training.
        validation: Queries for early stopping.
        held_out: Queries for the report only.
        report: Numbers of queries, labels and rows, as JSON values.
        query_template: Wraps a query for the encoder, with its prompt.
    """

    texts: Sequence[str]
    train: list[RankedQuery]
    validation: list[RankedQuery]
    held_out: list[RankedQuery]
    report: dict[str, Any]
    query_template: str = GraphSpec.query_template


def read_text_data(inputs: TextInputFiles, encoder: str, folder: Path, seed: int, progress: Progress) -> TextData:
    """Reads a shop's files, labels and splits its queries, and finds their candidates.

    Args:
        inputs: The files.
        encoder: Hugging Face id or folder of the dense channel's encoder.
        folder: Where the candidates are kept for other processes, and for a run that is resumed.
        seed: Seed of the split and of queries made from the catalogue.
        progress: Shows the steps.

    Raises:
        InputError: Where the files cannot be used, or have too few labelled queries.
    """
    templates = choose_templates(read_prompts(encoder), inputs.query_template, inputs.text_template)
    for note in templates.notes:
        progress.note(note)
    with progress.step("reading the catalogue"):
        catalog = read_catalog(
            inputs.catalog,
            mapping=inputs.mappings.catalog,
            max_bad_share=inputs.max_bad_rows,
            reading=inputs.reading,
        )
        synonyms = read_synonyms(inputs.synonyms) if inputs.synonyms else NO_SYNONYMS
        indexed = index_catalog(catalog, templates.text, synonyms)
    spec = GraphSpec(
        text_template=templates.text,
        query_template=templates.query,
        lexical_fields=choose_lexical_fields(catalog.items.columns, inputs.lexical_fields),
        code_fields=choose_codes(catalog.items.columns, inputs.codes),
    )
    progress.note(str(catalog.report))
    labelled = _label_queries(inputs, indexed, catalog.item_ids, seed, progress)
    of_source = {"judgements": inputs.judgements, "log": inputs.interactions, "catalog": inputs.catalog}
    parts = split_labelled_queries(
        labelled.queries, seed, source=str(of_source[labelled.source]), remedy=TOO_FEW[labelled.source]
    )
    report = {
        "source": labelled.source,
        **labelled.report,
        "split": {name: len(part) for name, part in vars(parts).items()},
        "trained_on": min(inputs.max_queries, len(parts.train)),
        "evaluated": MAX_EVALUATED,
    }
    used = QuerySplit(
        parts.train[: inputs.max_queries], parts.validation[:MAX_EVALUATED], parts.held_out[:MAX_EVALUATED]
    )
    path = folder / f"candidates-{_digest(inputs, encoder, indexed, used)}.json"
    with PartialState(cpu=not torch.cuda.is_available()).main_process_first():
        if not path.exists():
            _find_candidates(path, indexed, spec, encoder, used, progress)
    candidates = json.loads(path.read_text("utf-8"))
    distinct = list(indexed.texts)
    texts = [distinct[code] for code in indexed.items.text]
    train, validation, held_out = ([RankedQuery(**values) for values in candidates[name]] for name in vars(used))
    return TextData(texts, train, validation, held_out, report, spec.query_template)


def _label_queries(
    inputs: TextInputFiles, indexed: Indexed, item_ids: Sequence[str], seed: int, progress: Progress
) -> LabelledQueries:
    """Labels queries from judgements if there are any, else from the log, else from the catalogue."""
    if inputs.queries is not None and inputs.judgements is not None:
        return read_labelled(
            inputs.queries, inputs.judgements, item_ids, inputs.max_bad_rows, progress, inputs.reading.encoding
        )
    if inputs.interactions is not None:
        with progress.step("reading the interactions"):
            log = read_interactions(
                inputs.interactions,
                item_ids,
                max_bad_share=inputs.max_bad_rows,
                max_unknown_share=inputs.max_unknown_items,
                reading=inputs.reading,
                disliked_below=inputs.disliked_below,
                most_a_day=inputs.most_a_day,
                mapping=inputs.mappings.interactions,
            )
        progress.note(str(log.report))
        labelled = label_from_log(log, 2 * inputs.max_queries, seed, inputs.end)
        if len(labelled.queries) >= MIN_QUERIES:
            return labelled
        progress.note(f"the log has {len(labelled.queries)} queries: others are made from categories and titles")
    return label_from_catalog(indexed.items, indexed.titles, 2 * inputs.max_queries, seed)


def _find_candidates(
    path: Path, indexed: Indexed, spec: GraphSpec, encoder: str, parts: QuerySplit, progress: Progress
) -> None:
    """Indexes the catalogue in a temporary folder, and writes the candidates of every query to `path`."""
    with tempfile.TemporaryDirectory() as name:
        index = Path(name)
        with progress.step("loading the encoder"):
            loaded = load_encoder(encoder)
            export_onnx(loaded, index / "model.onnx")
            max_length = min(loaded.max_length, MAX_ITEM_TOKENS)
            engine = OnnxEncoder(index / "model.onnx", loaded.tokenizer, loaded.pad_id, max_length)
        with progress.step("embedding texts", len(indexed.texts)) as advanced:
            vectors = engine.embed(indexed.texts, advanced=advanced).astype(np.float16)
        spec = replace(spec, embedding_dim=loaded.dim)
        np.save(index / "vectors.npy", vectors)
        build_index(vectors, index / "vectors.faiss")
        LexicalIndex.write(index / "lexical", indexed.searched, spec.lexical_fields, unit_table(), spec.code_fields)
        retriever = Retriever(
            CatalogIndex.open(index, indexed.items, "cpu"), InteractionIndex(Popularity.empty(len(indexed.items))), spec
        )
        candidates: dict[str, list[dict[str, Any]]] = {}
        for part, queries in vars(parts).items():
            with progress.step(f"candidates of {part} queries", len(queries)) as advanced:
                ranked = rank_queries(
                    queries,
                    retriever,
                    lambda batch: engine.embed([query_text(spec.query_template, query) for query in batch]),
                    advanced=advanced,
                )
            candidates[part] = [query.to_dict() for query in ranked]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(candidates, ensure_ascii=False).encode())


def _digest(inputs: TextInputFiles, encoder: str, indexed: Indexed, parts: QuerySplit) -> str:
    """Returns a hash of all that the candidates depend on, so that a changed input is not given old ones."""

    def to_lists(queries: Sequence[LabelledQuery]) -> list[Any]:
        return [[query.text, query.relevant.tolist(), query.irrelevant.tolist()] for query in queries]

    settings = {name: str(value) for name, value in asdict(inputs).items()}
    content = [settings, encoder, list(indexed.texts), *map(to_lists, vars(parts).values())]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
