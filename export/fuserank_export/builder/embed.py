"""The step `embed`: the encoder's engines, and the vectors of the catalogue's texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.spec import GraphSpec
from fuserank_export.builder.options import EncoderOptions, Precision
from fuserank_export.builder.workspace import Workspace
from fuserank_export.embedding.embed import embed_texts
from fuserank_export.embedding.encoder_files import EncoderFiles
from fuserank_export.encoder.engines import VARIANTS, write_engines
from fuserank_export.encoder.languages import ScriptKnowledge, measure_scripts
from fuserank_export.encoder.load import Encoder
from fuserank_export.progress import Progress
from fuserank_export.repository.model_config import ENGINE_FILES

PARITY_TEXTS = 256  # that every engine is compared with torch on
LONGEST_TEXT = 256  # tokens of an item's text, where the encoder allows as many


@dataclass(frozen=True)
class EmbeddedTexts:
    """The texts' vectors and the engine that made them.

    Attributes:
        vectors: float16 `[texts, dim]`, L2-normalised.
        files: The engine that made them, which embeds queries as serving does.
        digest: Of all that decides a text's vector.
        engine_file: Its file's name, in the encoder's folder.
        engines_report: Agreement of each precision's engine with torch.
        embedding_report: What was embedded, and how fast.
        scripts: What the encoder knows of the catalogue's scripts.
    """

    vectors: NDArray[np.float16]
    files: EncoderFiles
    digest: str
    engine_file: str
    engines_report: dict[str, Any]
    embedding_report: dict[str, Any]
    scripts: list[ScriptKnowledge]


@dataclass(frozen=True)
class WrittenEncoder:
    """An encoder's engines.

    Attributes:
        files: The engine that embeds texts and queries.
        report: Agreement of each precision's engine with torch.
    """

    files: EncoderFiles
    report: dict[str, Any]


def embed_catalog(
    work: Workspace, texts: Sequence[str], encoder: Encoder, options: EncoderOptions, spec: GraphSpec
) -> EmbeddedTexts:
    """Writes the encoder's engines and `vectors.npy`.

    Args:
        work: Where to write. Finished blocks of vectors lie in `out.blocks`.
        texts: The catalogue's distinct texts.
        encoder: The encoder.
        options: Its precision, and what embeds the texts.
        spec: The graph, whose buckets say how long a query may be.

    Raises:
        EncoderError: Where an engine differs from torch.
        InputError: Where Ray is asked for and not installed.
    """
    written = write_encoder(work.engines("encoder"), texts, encoder, options.precision, spec, work.progress)
    files = written.files
    with work.progress.step("embedding texts", len(texts)) as advanced:
        vectors, embedding_report = embed_texts(
            files,
            texts,
            checkpoint=work.out.blocks,
            joined=work.index / "vectors.npy",
            engine=options.engine,
            address=options.ray_address,
            advanced=advanced,
        )
    scripts = measure_scripts(texts, encoder.tokenizer, files.open().embed)
    warnings = [script.warning for script in scripts if script.warning]
    for warning in warnings:
        work.progress.warn(warning)
    # A text is cut at so many tokens: a refresh must embed as the export did.
    embedding_report |= {"engine_file": files.path.name, "longest": files.max_length}
    report = {**embedding_report, "scripts": [asdict(script) for script in scripts], "warnings": warnings}
    return EmbeddedTexts(vectors, files, files.digest(), files.path.name, written.report, report, scripts)


def write_encoder(
    folder: Path, texts: Sequence[str], encoder: Encoder, precision: Precision, spec: GraphSpec, progress: Progress
) -> WrittenEncoder:
    """Writes the encoder's engines into a new folder.

    Args:
        folder: The folder, which must not exist.
        texts: The catalogue's distinct texts, on some of which the engines are compared with torch.
        encoder: The encoder.
        precision: What it embeds in.
        spec: The graph, whose buckets say how long a query may be.
        progress: Shows the step.

    Raises:
        EncoderError: Where an engine differs from torch.
    """
    folder.mkdir(parents=True)
    with progress.step("exporting the encoder in fp32, fp16, int8"):
        report = write_engines(encoder, folder, _spread(texts, PARITY_TEXTS))
    engine_file = VARIANTS[precision][0] if precision in VARIANTS else ENGINE_FILES["cpu"]
    longest = min(encoder.max_length, max(LONGEST_TEXT, spec.length_buckets[-1]))
    return WrittenEncoder(EncoderFiles.create(folder / engine_file, encoder.tokenizer, encoder.pad_id, longest), report)


def _spread(texts: Sequence[str], count: int) -> list[str]:
    """Texts from all over the catalogue, the longest among them."""
    chosen = list(texts[:: max(1, len(texts) // count)])[:count]
    return [*chosen, max(texts, key=len)]
