"""Batches without their padding, the tokens of all sequences in one row; numbers in few bits."""

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.ops.kinds import Any, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("RemovePadding", domain=DOMAIN)
def remove_padding(input: Tensor, sequence_token_count: Any) -> tuple[Tensor, Any, Any, Any]:
    batch, length = input.shape[:2]
    is_padding = torch.arange(length, device=input.device) >= sequence_token_count[:, None]
    offsets = is_padding.flatten().int().argsort(stable=True).reshape(batch, length)
    ends = F.pad(sequence_token_count.cumsum(0), (1, 0))
    kind = sequence_token_count.dtype
    tokens = input.flatten(0, 1)[~is_padding.flatten()]
    return tokens, offsets.to(kind), ends.to(kind), sequence_token_count.amax(0, keepdim=True)


@op("RestorePadding", domain=DOMAIN)
def restore_padding(input: Tensor, token_offset: Any) -> Tensor:
    return unpack(input, token_offset)


def unpack(tokens: Tensor, token_offset: Tensor) -> Tensor:
    """The padded batch of these tokens, (batch, length, ...); `token_offset` says their places."""
    places = token_offset.flatten()[: tokens.shape[0]]
    rows = tokens.new_zeros(token_offset.numel(), *tokens.shape[1:])
    return rows.index_put((places,), tokens).unflatten(0, token_offset.shape)


def pack(x: Tensor, token_offset: Tensor, count: int) -> Tensor:
    """The inverse of `unpack`."""
    return x.flatten(0, 1)[token_offset.flatten()[:count]]


def unpacked(x: Tensor, bits: int) -> Tensor:
    """The numbers in the bytes of the last axis, those in the lower bits first."""
    if 8 % bits:
        places = torch.arange(8, dtype=torch.int32, device=x.device)
        ones = (x.int()[..., None] >> places & 1).flatten(-2)
        whole = ones[..., : ones.shape[-1] // bits * bits].unflatten(-1, (-1, bits))
        return (whole << places[:bits]).sum(-1, dtype=torch.int32)
    shifts = torch.arange(0, 8, bits, dtype=torch.int32, device=x.device)
    return (x.int()[..., None] >> shifts & (1 << bits) - 1).flatten(-2)


def in_halves(numbers: Tensor) -> Tensor:
    """Numbers of four bits two to a byte, the first in the lower bits."""
    low, high = numbers.unflatten(-1, (-1, 2)).unbind(-1)
    return (low | high << 4).to(torch.uint8)
