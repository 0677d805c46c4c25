"""Values found in a list of keys: what encoders and vectorizers do."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hetu.ops.kinds import Tensor
from hetu.ops.prepared import prepared


def positions(x: Any, keys: Any, device: torch.device) -> Tensor:
    """Where each element of `x`, numbers or strings, is among `keys`; `len(keys)` where it is not.

    Of equal keys the last counts. NaN equals NaN. Results of strings are made on `device`.
    """
    if isinstance(x, np.ndarray):
        table = _string_table(keys)
        found = [table.get(text, len(keys)) for text in x.reshape(-1)]
        return torch.tensor(found, dtype=torch.int64, device=device).reshape(x.shape)
    numbers, order, nan = _number_table(keys, device=x.device, dtype=x.dtype)
    unknown = torch.where(torch.isnan(x), nan, len(keys))
    if not len(numbers):
        return unknown
    place = (torch.searchsorted(numbers, x.contiguous(), right=True) - 1).clamp(min=0)
    return torch.where(numbers[place] == x, order[place], unknown)


@prepared
def _string_table(keys: Sequence[str]) -> dict[str, int]:
    return {key: i for i, key in enumerate(keys)}


@prepared
def _number_table(
    keys: Any, *, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, int]:
    """The keys in order, where each of them was, and where NaN was."""
    numbers = torch.as_tensor(keys, device=device).to(dtype)
    is_nan = torch.isnan(numbers)
    places = torch.arange(len(numbers), device=device)
    ordered, order = numbers[~is_nan].sort(stable=True)
    nans = places[is_nan].tolist()
    return ordered, places[~is_nan][order], nans[-1] if nans else len(numbers)


def chosen(values: Any, default: Any, index: Tensor) -> Any:
    """`values[index]`, or the default where the index is one past the end.

    Values are strings, or a tensor; the default is of their type.
    """
    if isinstance(values, Tensor):
        table = torch.cat(
            [values.to(index.device), values.new_full((1,), default).to(index.device)]
        )
        return table[index]
    return np.asarray([*values, default], dtype=object)[index.cpu().numpy()]
