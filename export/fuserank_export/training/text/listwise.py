"""The text tower's loss: within a list the right items come first, and each logit is a probability's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers.cross_encoder import CrossEncoder
from torch import Tensor, nn
from torch.nn import functional


class ListwiseLoss(nn.Module):
    """Softmax cross-entropy over each query's list, plus binary cross-entropy over all pairs.

    The first ranks (ListNet's top-one loss, Cao et al., ICML 2007, with the right items sharing all of the target);
    the second keeps logits comparable between queries, so that they can stand beside other signals. The library's
    own `ListNetLoss` takes the softmax of 0 and 1 as target, which a difference of 1 between logits already reaches.
    """

    def __init__(self, model: CrossEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, inputs: Sequence[Any], labels: Sequence[Tensor], prompt: str | None = None, task: str | None = None
    ) -> Tensor:
        """Computes the loss of some lists.

        Args:
            inputs: Queries, and for each its texts.
            labels: For each query, 1 or 0 of each text; both are there.
            prompt: The library's; put before every query.
            task: The library's.
        """
        queries, texts = inputs
        pairs = [(query, text) for query, mine in zip(queries, texts, strict=True) for text in mine]
        tokens = self.model.preprocess(pairs, prompt=prompt, task=task)
        device = next(self.model.parameters()).device
        moved = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in tokens.items()}
        logits = self.model(moved)["scores"].view(-1).float()
        truth = torch.cat([each.to(logits) for each in labels])
        sizes = [len(each) for each in labels]
        listwise = [
            -(functional.log_softmax(mine, 0) * (right / right.sum())).sum()
            for mine, right in zip(torch.split(logits, sizes), torch.split(truth, sizes), strict=True)
        ]
        return torch.stack(listwise).mean() + functional.binary_cross_entropy_with_logits(logits, truth)
