"""Operators that write to a variable. Their place among the results is None.

They take effect after the values of their run are computed, in the order of the executor's list.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hetu.api.value import Value, constant
from hetu.errors import UsageError, show
from hetu.ir import Value as AnyValue
from hetu.runtime.params import ParameterStore
from hetu.runtime.update import Update


class _Assignment(Update):
    """A change of one variable that remembers nothing."""

    def __init__(self, variable: Value, *values: Any) -> None:
        if variable.node is not None or variable.data is None or variable.constant:
            raise UsageError(f"only variables can be written to, not {show(variable.name)}")
        self.variable = variable
        self.values = [v if isinstance(v, AnyValue) else constant(v) for v in values]

    @property
    def needed(self) -> Sequence[AnyValue]:
        """The variable and what it changes by."""
        return [self.variable, *self.values]

    def state_dict(self, store: ParameterStore) -> Mapping[str, torch.Tensor]:
        """Nothing."""
        return {}

    def check_state_dict(self, store: ParameterStore, state: Mapping[str, torch.Tensor]) -> None:
        """Nothing to check."""

    def load_state_dict(self, store: ParameterStore, state: Mapping[str, torch.Tensor]) -> None:
        """Nothing to do."""


class RowAssignment(_Assignment):
    """New rows of a table; those with an id out of range are left out."""

    def apply(self, store: ParameterStore, results: Sequence[torch.Tensor]) -> None:
        """Write the rows."""
        table = store.own(self.variable)
        ids = results[1].reshape(-1).long()
        rows = results[2].reshape(-1, *table.shape[1:])
        is_valid = (ids >= 0) & (ids < len(table))
        with torch.no_grad():
            table[ids[is_valid]] = rows[is_valid].to(table.dtype)


class Clipping(_Assignment):
    """A variable cut off at two bounds."""

    def __init__(self, variable: Value, low: float, high: float, *needed: AnyValue) -> None:
        super().__init__(variable, *needed)
        self.low, self.high = low, high

    def apply(self, store: ParameterStore, results: Sequence[torch.Tensor]) -> None:
        """Cut it off."""
        with torch.no_grad():
            store.own(self.variable).clamp_(self.low, self.high)


def sparse_set_op(table: Value, ind: Any, data: Any, ctx: Any = None) -> Update:
    """`table[ind] = data`."""
    return RowAssignment(table, ind, data)


def assign_with_indexedslices_op(
    embed: Value, unique: Any, newparam: Any, ctx: Any = None
) -> Update:
    """`embed[unique] = newparam`; ids out of range, such as padding, do nothing."""
    return RowAssignment(embed, unique, newparam)


def param_clip_op(
    param: Value, control: Any, min_value: float, max_value: float, ctx: Any = None
) -> Update:
    """`param` cut off at `min_value` and `max_value`; the value `control` is computed before."""
    waited_for = [control] if isinstance(control, AnyValue) else []
    return Clipping(param, min_value, max_value, *waited_for)
