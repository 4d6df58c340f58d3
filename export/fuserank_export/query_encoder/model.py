"""A query encoder of one table: the mean of a query's token vectors, and what two layers make of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from fuserank_export.encoder.onnx_export import export_text_encoder

HIDDEN = 768  # units of the layers after the mean


class QueryEncoder(nn.Module):
    """A vector for each token, their mean, and a residual of the mean by which words that stand together change it."""

    def __init__(self, table: Tensor) -> None:
        """Takes the first vectors of the tokens, float32 `[vocabulary, dim]`; the residual begins as nothing."""
        super().__init__()
        dim = table.shape[1]
        self.table = nn.Parameter(table.clone())
        last = nn.Linear(HIDDEN, dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.residual = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, HIDDEN), nn.GELU(), last)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Returns the vectors of padded texts, float32 `[batch, dim]`, L2-normalised.

        Args:
            ids: Token ids, int64 `[batch, length]`.
            mask: 1 for a token and 0 for padding, int64 `[batch, length]`.
        """
        is_token = mask.unsqueeze(-1).to(torch.float32)
        vectors = functional.embedding(ids, self.table).to(torch.float32)
        return self._finish((vectors * is_token).sum(1) / is_token.sum(1).clamp(min=1.0))

    def embed(self, tokens: Sequence[Tensor]) -> Tensor:
        """Returns the vectors of texts of any lengths, each int64 `[tokens]`; the table's gradient is sparse."""
        starts = torch.tensor([0, *map(len, tokens[:-1])]).cumsum(0)
        return self._finish(
            functional.embedding_bag(torch.cat(list(tokens)), self.table, starts, mode="mean", sparse=True)
        )

    def _finish(self, mean: Tensor) -> Tensor:
        return functional.normalize(mean + self.residual(mean), dim=-1)


def export_query_encoder(encoder: QueryEncoder, path: Path) -> None:
    """Writes a query encoder as ONNX, with the inputs and the output of an encoder and its table in half precision.

    See `fuserank_export.encoder.onnx_export.export_text_encoder`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = encoder.table
    encoder.table = nn.Parameter(whole.detach().half())  # looked up and widened: nothing is computed in it
    try:
        export_text_encoder(encoder.eval(), path)
    finally:
        encoder.table = whole
