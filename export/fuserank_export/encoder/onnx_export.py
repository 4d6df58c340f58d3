"""Exports an encoder as an FP32 ONNX file."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

from fuserank_export.encoder.load import Encoder

OPSET = 17  # the first with LayerNormalization as one operator, which FP16 keeps in FP32


def export_onnx(encoder: Encoder, path: Path) -> None:
    """Writes an encoder as FP32 ONNX.

    The inputs are `INPUT_IDS` and `ATTENTION_MASK`, int64 `[batch, length]`, both sizes free; the output is
    `EMBEDDING`, float32 `[batch, dim]`, pooled and L2-normalised.

    Args:
        encoder: The encoder.
        path: The file to write.
    """
    export_text_encoder(encoder.model, path)


def export_text_encoder(model: nn.Module, path: Path) -> None:
    """Writes a model from tokens to vectors as ONNX, with the tensors of `export_onnx`.

    Args:
        model: Takes token ids and their mask, and returns the vectors.
        path: The file to write.
    """
    example = (torch.ones(2, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.int64))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of shapes that are dynamic on purpose
        torch.onnx.export(
            model,
            example,
            str(path),
            input_names=["INPUT_IDS", "ATTENTION_MASK"],
            output_names=["EMBEDDING"],
            dynamic_axes={
                "INPUT_IDS": {0: "batch", 1: "length"},
                "ATTENTION_MASK": {0: "batch", 1: "length"},
                "EMBEDDING": {0: "batch"},
            },
            opset_version=OPSET,
            dynamo=False,
        )
