"""Nearest vectors on a GPU: one fp16 matrix product and a top-k for the whole batch, exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.retrieval.vectors.search import Neighbours, Vectors

if TYPE_CHECKING:
    import torch


class TorchSearch:
    """The vectors in the memory of a GPU, or of any torch device; see `VectorSearch`.

    Args:
        vectors: fp16 `[vectors, dim]`.
        device: As torch names it: `cpu`, `cuda:0`.
    """

    def __init__(self, vectors: Vectors, device: str) -> None:
        import torch  # noqa: PLC0415  only where a GPU is: a CPU server does without torch

        self._torch = torch
        # A CPU has no fp16 matrix product worth the name; there the same code runs in float32 for its tests.
        self._dtype = torch.float16 if device.startswith("cuda") else torch.float32
        self._vectors: torch.Tensor = torch.from_numpy(np.array(vectors)).to(device, self._dtype)

    def search(self, embeddings: Any, depth: int, allowed: Sequence[Mask | None]) -> list[Neighbours]:
        """See `VectorSearch`; the embeddings may be anything that speaks DLPack, on any device."""
        rows, scores = self.search_on_device(embeddings, depth, allowed)
        pairs = zip(rows.cpu().numpy(), scores.cpu().numpy(), strict=True)
        return [(r[r >= 0], s[r >= 0]) for r, s in pairs]

    def search_on_device(
        self, embeddings: Any, depth: int, allowed: Sequence[Any | None]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Finds the nearest vectors and leaves the answer where it was computed.

        Args:
            embeddings: Anything that speaks DLPack (numpy, torch, Triton's tensors), floats `[batch, dim]`; what lies
                on this device already is not copied to the host.
            depth: How many vectors to find at most.
            allowed: For each query a mask `[vectors]`, of numpy or on the device; None for all.

        Returns:
            Rows int64 and inner products float32, `[batch, min(depth, vectors)]`, best first, as tensors on the
            device, which speak DLPack; where a filter leaves fewer, row -1 and score -inf.
        """
        torch = self._torch
        queries = self._to_tensor(embeddings).to(self._dtype)
        scores = (queries @ self._vectors.T).float()
        for i, mask in enumerate(allowed):
            if mask is not None:
                scores[i].masked_fill_(~self._to_tensor(mask), float("-inf"))
        values, rows = scores.topk(max(0, min(depth, scores.shape[1])), dim=1)
        return torch.where(torch.isneginf(values), -1, rows), values

    def _to_tensor(self, array: Any) -> torch.Tensor:
        if isinstance(array, np.ndarray):
            # DLPack does not carry numpy's read-only arrays, which mapped files and Triton's tensors are.
            array = array if array.flags.writeable else array.copy()
            return self._torch.from_numpy(np.ascontiguousarray(array)).to(self._vectors.device)
        return self._torch.utils.dlpack.from_dlpack(array).to(self._vectors.device)
