"""Nearest vectors on a GPU: a matrix product and a top-k for the whole batch, exact, in parts that fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.retrieval.vectors.search import Neighbours, Vectors

if TYPE_CHECKING:
    import torch


ROWS = 2**18  # vectors that are copied to the device at a time
SCORES = 2**28  # float32 scores of one part of a scan at most: 1 GB, whatever the catalogue and the batch


class TorchSearch:
    """The vectors in the memory of a GPU, or of any torch device; see `VectorSearch`.

    Args:
        vectors: fp16 `[vectors, dim]`.
        device: As torch names it: `cpu`, `cuda:0`.
        scores: How many scores to hold at a time.
    """

    def __init__(self, vectors: Vectors, device: str, scores: int = SCORES) -> None:
        import torch  # noqa: PLC0415  only where a GPU is: a CPU server does without torch

        self._torch, self._scores = torch, scores
        # A CPU has no fp16 matrix product worth the name; there the same code runs in float32 for its tests.
        self._dtype = torch.float16 if device.startswith("cuda") else torch.float32
        self._vectors: torch.Tensor = torch.empty(vectors.shape, dtype=self._dtype, device=device)
        for start in range(0, len(vectors), ROWS):  # the file is mapped: the host need not hold all of it
            part = np.array(vectors[start : start + ROWS])
            self._vectors[start : start + len(part)].copy_(torch.from_numpy(part))

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
        masks = [None if mask is None else self._to_tensor(mask) for mask in allowed]
        count, depth = len(self._vectors), max(0, min(depth, len(self._vectors)))
        part = max(1, self._scores // max(1, len(queries)))
        values = torch.empty((len(queries), 0), dtype=torch.float32, device=self._vectors.device)
        rows = torch.empty((len(queries), 0), dtype=torch.int64, device=self._vectors.device)
        for start in range(0, count, part):
            scores = self._products(queries, self._vectors[start : start + part])
            for i, mask in enumerate(masks):
                if mask is not None:
                    scores[i].masked_fill_(~mask[start : start + part], float("-inf"))
            found, places = scores.topk(min(depth, scores.shape[1]), dim=1)
            values, order = torch.cat([values, found], 1).topk(min(depth, values.shape[1] + found.shape[1]), dim=1)
            rows = torch.cat([rows, places + start], 1).gather(1, order)
        return torch.where(torch.isneginf(values), -1, rows), values

    def _products(self, queries: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Inner products, float32 `[batch, vectors]`: rounded to fp16, neighbours would change places."""
        if queries.dtype == self._torch.float16:
            return self._torch.mm(queries, vectors.T, out_dtype=self._torch.float32)
        return queries @ vectors.T

    def _to_tensor(self, array: Any) -> torch.Tensor:
        if isinstance(array, np.ndarray):
            # DLPack does not carry numpy's read-only arrays, which mapped files and Triton's tensors are.
            array = array if array.flags.writeable else array.copy()
            return self._torch.from_numpy(np.ascontiguousarray(array)).to(self._vectors.device)
        return self._torch.utils.dlpack.from_dlpack(array).to(self._vectors.device)
