"""all-MiniLM-L6-v2: a sentence of up to 32 tokens to a normalized embedding of 384 values.

Published by the sentence-transformers project (Apache-2.0) on the base of MiniLM-L6-H384-uncased.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import BertModel

FOLDER = Path(__file__).parent / "weights"  # python fetch.py
LENGTH = 32


class SentenceEncoder(nn.Module):
    """Tokens and their mask, both [1, 32], to an embedding [1, 384] of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.bert = BertModel.from_pretrained(FOLDER, add_pooling_layer=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """The mean of the last hidden states over the tokens that the mask keeps."""
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        kept = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return nn.functional.normalize((hidden * kept).sum(1) / kept.sum(1))


def net() -> nn.Module:
    """The encoder with the weights that `fetch.py` wrote."""
    return SentenceEncoder()
