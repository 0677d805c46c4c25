"""Transformers of the base width, six layers deep, without dropout."""

from typing import Any

from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    ViTConfig,
    ViTForImageClassification,
)

LAYERS = 6
NO_DROPOUT: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


class Logits(nn.Module):
    """A model of transformers that takes its inputs by position and returns the logits alone."""

    def __init__(self, model: nn.Module, *names: str, **options: object) -> None:
        super().__init__()
        self.model, self.names, self.options = model, names, options

    def forward(self, *values: Tensor) -> Tensor:
        return self.model(**dict(zip(self.names, values, strict=True)), **self.options).logits


def bert() -> nn.Module:
    config = BertConfig(num_hidden_layers=LAYERS, **NO_DROPOUT)
    return Logits(BertForSequenceClassification(config), "input_ids", "attention_mask")


def gpt2() -> nn.Module:
    config = GPT2Config(n_layer=LAYERS, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    return Logits(GPT2LMHeadModel(config), "input_ids", use_cache=False)


def vit() -> nn.Module:
    config = ViTConfig(num_hidden_layers=LAYERS, num_labels=1000, **NO_DROPOUT)
    return Logits(ViTForImageClassification(config), "pixel_values")
