"""Causal convolutions of each channel, which hand on what they have to remember."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError, UnsupportedError, show
from hetu.ops.com_microsoft.recurrences import trailing
from hetu.ops.kinds import Ints, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("CausalConvWithState", domain=DOMAIN)
def causal_conv_with_state(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, past_state: Tensor | None = None, *,
    activation: str = "none", channels_last: bool = False, dilation: int = 1,
    input_channel_offset: int = 0, input_channels: int = 0, ndim: int = 1,
    state_channels_last: int = -1, state_length: int = 0, state_update_capacity: int = 0,
    state_window: int = 0,
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    if ndim != 1:
        raise UnsupportedError(f"com.microsoft.CausalConvWithState over {ndim} axes")
    is_last = channels_last if state_channels_last < 0 else bool(state_channels_last)
    x = input.flatten(2).transpose(1, 2) if channels_last else input
    if input_channels:
        x = x[:, input_channel_offset : input_channel_offset + input_channels]
    taps = _Taps(weight, bias, dilation, activation)
    shape = (len(x), x.shape[1], state_length or taps.reach)
    if past_state is None:
        state = x.new_zeros(shape)
    else:
        state = past_state[-1] if state_window else past_state
        state = state.flatten(2).transpose(1, 2) if is_last else state
    y, history = taps.read(x, state)
    steps = range(1, x.shape[2] + 1)
    states = [history[..., step : step + shape[2]] for step in steps[-max(1, state_window) :]]
    present = trailing(states, state, state_window)
    sizes = input.shape[2:] if channels_last and not input_channels else x.shape[1:2]
    if is_last:
        present = present.transpose(-1, -2).unflatten(-1, sizes)
    y = y.transpose(1, 2).unflatten(2, sizes) if channels_last else y
    rows = F.pad(x.transpose(1, 2), (0, 0, 0, state_update_capacity))[:, :state_update_capacity]
    return y, present, rows if state_update_capacity else None


@dataclass(frozen=True, slots=True)
class _Taps:
    """A convolution of each channel with what came before."""

    weight: Tensor
    bias: Tensor | None
    dilation: int
    activation: str

    @property
    def reach(self) -> int:
        """How far back it looks."""
        return (self.weight.shape[-1] - 1) * self.dilation

    def read(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """What follows of (batch, channels, time), and the state with `x` behind it."""
        if self.activation not in ("none", "silu", "swish"):
            raise ModelError(f"unknown activation {show(self.activation)}")
        history = torch.cat((state, x), -1)
        seen = history[..., state.shape[-1] - self.reach :]
        y = F.conv1d(seen, self.weight, self.bias, dilation=self.dilation, groups=len(self.weight))
        return y if self.activation == "none" else F.silu(y), history


@op("VarlenCausalConvWithState", domain=DOMAIN)
def varlen_causal_conv_with_state(
    input: Tensor, weight: Tensor, cumulative_sequence_length: Ints, bias: Tensor | None,
    initial_state: Tensor, capture_count: Ints | None = None, kernel_delta: Tensor | None = None,
    previous_mask: Tensor | None = None, *,
    activation: str = "none", delta_offset: int = 0, dilation: int = 1, group_size: int = 1,
    state_update_capacity: int = 0,
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    taps = _Taps(weight, bias, dilation, activation)
    lengths = [end - start for start, end in pairwise(cumulative_sequence_length)]
    outputs, states, updates, before = [], [], [], []
    for i, x in enumerate(input.split(lengths)):
        y, history = taps.read(x.t()[None], initial_state[i : i + 1])
        outputs.append(y[0].t())
        before.append(history[0, :, -len(x) - 1 : -1].t())
        states.append(history[..., history.shape[-1] - initial_state.shape[-1] :])
        count = min(capture_count[i], state_update_capacity, len(x)) if capture_count else 0
        updates.append(F.pad(x[:count], (0, 0, 0, state_update_capacity - count)))
    y = torch.cat(outputs)
    if kernel_delta is not None and previous_mask is not None:
        deltas = kernel_delta[:, delta_offset : delta_offset + 2]
        deltas = deltas.repeat_interleave(group_size, -1)
        y = _two_taps(input, torch.cat(before), weight, deltas, previous_mask)
    return y, torch.cat(states), torch.stack(updates) if state_update_capacity else None


def _two_taps(x: Tensor, before: Tensor, weight: Tensor, deltas: Tensor, mask: Tensor) -> Tensor:
    """A convolution of each token with the one before, whose taps differ from token to token."""
    earlier, current = weight[:, 0].unbind(-1)
    return x * (current + deltas[:, 0]) + before * (earlier + deltas[:, 1]) * mask
