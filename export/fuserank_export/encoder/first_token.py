"""Where only the first token of a transformer is read, its last layer is computed for that token alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.camembert.modeling_camembert import CamembertLayer
from transformers.models.electra.modeling_electra import ElectraLayer
from transformers.models.roberta.modeling_roberta import RobertaLayer
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaLayer

# Of one build: `attention.self`, `attention.output` and `feed_forward_chunk`.
FAMILY = (BertLayer, CamembertLayer, ElectraLayer, RobertaLayer, XLMRobertaLayer)
_TOLERANCE = 1e-4  # of the first token's state, which LayerNorm has brought to about 1


class FirstTokenLayer(nn.Module):
    """A layer of a BERT-like encoder whose answer is the first token's state.

    One query asks all tokens, so that neither their keys nor their values need be made: (h K) q = h (K q), and the
    weighted mean of values is the value of the weighted mean. The keys' bias shifts all weights alike; softmax drops
    it. What is left of a layer's products is a hundredth.
    """

    def __init__(self, layer: Any) -> None:
        """Takes the layer whose weights it uses."""
        super().__init__()
        self.layer = layer

    def forward(self, hidden: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
        """Maps `[batch, length, dim]` to `[batch, 1, dim]`; the mask is added to scores, `[batch, 1, any, length]`."""
        attention, first = self.layer.attention.self, hidden[:, :1]
        heads, size = attention.num_attention_heads, attention.attention_head_size
        # Products by head, `[heads, batch, …]`: a head's weights are its rows of the whole.
        query = attention.query(first).unflatten(-1, (heads, size)).flatten(0, 1).transpose(0, 1)
        asked = (query @ attention.key.weight.unflatten(0, (heads, size))).transpose(0, 1)  # [batch, heads, dim]
        scores = asked @ hidden.transpose(1, 2) * attention.scaling
        if attention_mask is not None:
            scores = scores + attention_mask[:, 0, :1]
        mean = (scores.softmax(-1) @ hidden).transpose(0, 1)
        values = mean @ attention.value.weight.unflatten(0, (heads, size)).transpose(1, 2)  # [heads, batch, size]
        attended = values.transpose(0, 1).flatten(1).unsqueeze(1) + attention.value.bias
        found: Tensor = self.layer.feed_forward_chunk(self.layer.attention.output(attended, first))
        return found


def read_first_token(model: Any) -> bool:
    """Replaces a transformer's last layer by `FirstTokenLayer`, in place, where it is one of `FAMILY`.

    Args:
        model: A Hugging Face encoder without a head, in evaluation mode with eager attention.

    Returns:
        Whether it was replaced: not for other builds, nor where the first token's state would change.
    """
    layers = getattr(getattr(model, "encoder", None), "layer", None)
    if layers is None or not len(layers) or not isinstance(layers[-1], FAMILY):
        return False
    last, ids, mask = layers[-1], torch.arange(12).reshape(2, 6), torch.ones(2, 6, dtype=torch.int64)
    ids, mask[1, 4:] = ids % model.config.vocab_size, 0
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        layers[-1] = FirstTokenLayer(last).eval()
        found = model(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
    if not torch.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
        layers[-1] = last
        return False
    return True
