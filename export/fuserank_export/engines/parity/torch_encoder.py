"""Runs the encoder in torch, as the reference of the exported engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_export.encoder.load import EncoderError, SentenceEncoder, load_encoder


class TorchEncoder:
    """Runs a sentence encoder; has the `run` of an ONNX Runtime session."""

    def __init__(self, model: SentenceEncoder) -> None:
        self._model = model

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Returns the embedding, float32 `[batch, dim]`, for every name in `outputs`."""
        with torch.inference_mode():
            inputs = (torch.from_numpy(feeds[name]) for name in ("INPUT_IDS", "ATTENTION_MASK"))
            return [self._model(*inputs).numpy() for _ in outputs]


def open_torch_encoder(bundle: Bundle) -> TorchEncoder | None:
    """Opens the encoder that a bundle was exported from; returns None where it cannot be loaded any more."""
    inputs = bundle.manifest["inputs"]
    try:
        return TorchEncoder(load_encoder(str(inputs["encoder"]), inputs.get("pooling", "auto")).model)
    except EncoderError:
        return None
