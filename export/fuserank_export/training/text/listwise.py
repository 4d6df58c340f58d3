"""The text tower's loss: it orders each query's list and calibrates the logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers.cross_encoder import CrossEncoder
from torch import Tensor, nn
from torch.nn import functional


class ListwiseLoss(nn.Module):
    """Softmax cross-entropy over each query's list, plus binary cross-entropy over all pairs.

    The first orders a list (ListNet's top-one loss, Cao et al., ICML 2007, with the target shared by the right items).
    The second keeps logits comparable between queries, so that a ranker can add them to other signals. The library's
    own `ListNetLoss` takes the softmax of 0 and 1 as target, which a difference of 1 between logits already reaches.
    """

    def __init__(self, model: CrossEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, inputs: Sequence[Any], labels: Sequence[Tensor], prompt: str | None = None, task: str | None = None
    ) -> Tensor:
        """Returns the loss of a batch of lists, a scalar.

        Args:
            inputs: The queries, and the texts of each.
            labels: For each query 1 or 0 of each text, `[texts]`; both occur.
            prompt: The library's; put before every query.
            task: The library's.
        """
        queries, texts = inputs
        pairs = [(query, text) for query, query_texts in zip(queries, texts, strict=True) for text in query_texts]
        tokens = self.model.preprocess(pairs, prompt=prompt, task=task)
        device = next(self.model.parameters()).device
        on_device = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in tokens.items()}
        logits = self.model(on_device)["scores"].view(-1).float()
        truth = torch.cat([list_labels.to(logits) for list_labels in labels])
        sizes = [len(list_labels) for list_labels in labels]
        listwise = [
            -(functional.log_softmax(list_logits, 0) * (right / right.sum())).sum()
            for list_logits, right in zip(torch.split(logits, sizes), torch.split(truth, sizes), strict=True)
        ]
        return torch.stack(listwise).mean() + functional.binary_cross_entropy_with_logits(logits, truth)
