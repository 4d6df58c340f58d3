"""The encoder in ONNX Runtime alone, as an engineer runs it in the caller."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

MAX_TOKENS = 64


class Encoder:
    """Embeds queries.

    Args:
        folder: The inputs, with `encoder.onnx`, `tokenizer.json` and `encoder.json` (`pad`, `template`).
        threads: Threads of one run.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # A spinning thread takes a core from the search; FuseRank's engines do not spin either.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(folder / "encoder.onnx"),
            options,
            providers=["CPUExecutionProvider"],
            # Its fused operator takes four times as long on a CPU; FuseRank leaves it out, too.
            disabled_optimizers=["SkipLayerNormFusion"],
        )
        settings = json.loads((folder / "encoder.json").read_text("utf-8"))
        self._template = settings["template"]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding(pad_id=settings["pad"])

    def embed(self, queries: Sequence[str]) -> list[NDArray[np.float32]]:
        """L2-normalised embeddings `[dim]` of queries."""
        encodings = self._tokenizer.encode_batch([self._template.replace("{query}", query) for query in queries])
        ids = np.asarray([encoding.ids for encoding in encodings], np.int64)
        mask = np.asarray([encoding.attention_mask for encoding in encodings], np.int64)
        return list(self._session.run(["EMBEDDING"], {"INPUT_IDS": ids, "ATTENTION_MASK": mask})[0])
