"""Computes a transformer's last layer for the first token alone, where no other token's state is used."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.camembert.modeling_camembert import CamembertLayer
from transformers.models.electra.modeling_electra import ElectraLayer
from transformers.models.roberta.modeling_roberta import RobertaLayer
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaLayer

# Layers that have `attention.self`, `attention.output` and `feed_forward_chunk`.
SUPPORTED_LAYERS = (BertLayer, CamembertLayer, ElectraLayer, RobertaLayer, XLMRobertaLayer)
_TOLERANCE = 1e-4  # of the first token's state, which LayerNorm has brought to about 1


class FirstTokenLayer(nn.Module):
    """A layer of a BERT-like encoder that computes the first token's state only.

    One query vector attends to all tokens, so neither their keys nor their values are made: (h K) q = h (K q), and
    the weighted mean of values is the value of the weighted mean. The keys' bias shifts all weights by the same
    amount and softmax drops it. The matrix products shrink to about a hundredth.
    """

    def __init__(self, layer: Any) -> None:
        """Takes the layer whose weights it uses."""
        super().__init__()
        self.layer = layer

    def forward(self, hidden: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
        """Computes the first token's state.

        Args:
            hidden: States of all tokens, `[batch, length, dim]`.
            attention_mask: Added to attention scores, `[batch, 1, any, length]`.

        Returns:
            `[batch, 1, dim]`.
        """
        attention, first = self.layer.attention.self, hidden[:, :1]
        heads, size = attention.num_attention_heads, attention.attention_head_size
        # Products by head, `[heads, batch, …]`: a head's weights are its rows of the whole.
        query = attention.query(first).unflatten(-1, (heads, size)).flatten(0, 1).transpose(0, 1)
        query_times_key = query @ attention.key.weight.unflatten(0, (heads, size))  # [heads, batch, dim]
        scores = query_times_key.transpose(0, 1) @ hidden.transpose(1, 2) * attention.scaling
        if attention_mask is not None:
            scores = scores + attention_mask[:, 0, :1]
        mean = (scores.softmax(-1) @ hidden).transpose(0, 1)
        values = mean @ attention.value.weight.unflatten(0, (heads, size)).transpose(1, 2)  # [heads, batch, size]
        attended = values.transpose(0, 1).flatten(1).unsqueeze(1) + attention.value.bias
        state: Tensor = self.layer.feed_forward_chunk(self.layer.attention.output(attended, first))
        return state


def replace_last_layer(model: Any) -> bool:
    """Replaces a transformer's last layer by a `FirstTokenLayer`, in place, where it is one of `SUPPORTED_LAYERS`.

    Args:
        model: A Hugging Face encoder without a head, in evaluation mode with eager attention.

    Returns:
        Whether it was replaced; False for other layers, and where the first token's state would change.
    """
    layers = getattr(getattr(model, "encoder", None), "layer", None)
    if layers is None or not len(layers) or not isinstance(layers[-1], SUPPORTED_LAYERS):
        return False
    last, ids, mask = layers[-1], torch.arange(12).reshape(2, 6), torch.ones(2, 6, dtype=torch.int64)
    ids, mask[1, 4:] = ids % model.config.vocab_size, 0
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        layers[-1] = FirstTokenLayer(last).eval()
        actual = model(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
    if not torch.allclose(actual, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
        layers[-1] = last
        return False
    return True
