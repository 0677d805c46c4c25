"""The operator that `minimize` returns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch

from hetu.api.value import Value
from hetu.runtime.params import ParameterStore
from hetu.runtime.update import Update

_SCHEDULE = "schedule/"


class UpdateRule(Protocol):
    """What a step needs to know of its optimizer."""

    l2reg: float
    lr_sched: Any

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        ...

    def rule(self, params: list[torch.Tensor], l2reg: float) -> torch.optim.Optimizer:
        """The torch optimizer for some parameters."""
        ...


class TrainOp(Update):
    """One step of an optimizer; iterating gives (variable, gradient) pairs.

    Its state, one torch optimizer, belongs to the parameter store of an executor.
    """

    trains = True

    def __init__(
        self, optimizer: UpdateRule, variables: Sequence[Value], gradients: Sequence[Value]
    ) -> None:
        self.optimizer = optimizer
        self.variables = list(variables)
        self.gradients = list(gradients)
        self._rules: WeakKeyDictionary[ParameterStore, torch.optim.Optimizer] = WeakKeyDictionary()

    def __iter__(self) -> Iterator[tuple[Value, Value]]:
        return iter(zip(self.variables, self.gradients, strict=True))

    @property
    def needed(self) -> Sequence[Value]:
        """The gradients."""
        return self.gradients

    def apply(self, store: ParameterStore, results: Sequence[torch.Tensor]) -> None:
        """Take the step."""
        rule = self._rule(store)
        params = rule.param_groups[0]["params"]
        rule.param_groups[0]["lr"] = self.optimizer.learning_rate
        for param, gradient in zip(params, results, strict=True):
            if gradient.is_sparse:
                self._step_rows(rule, param, gradient.coalesce())
            else:
                param.grad = gradient
        rule.step()
        for param in params:
            param.grad = None

    def state_dict(self, store: ParameterStore) -> Mapping[str, torch.Tensor]:
        """The optimizer's state by variable name, and the numbers of its learning-rate schedule."""
        rule = self._rule(store)
        names = {value: name for name, value in store.names.items()}
        tensors = {
            f"{names[variable]}/{key}": torch.as_tensor(content)
            for variable, param in zip(self.variables, rule.param_groups[0]["params"], strict=True)
            for key, content in rule.state[param].items()
        }
        schedule = vars(self.optimizer.lr_sched)
        numbers = {k: v for k, v in schedule.items() if isinstance(v, int | float)}
        return tensors | {
            f"{_SCHEDULE}{key}": torch.tensor(float(number), dtype=torch.float64)
            for key, number in numbers.items()
        }

    def load_state_dict(self, store: ParameterStore, state: Mapping[str, torch.Tensor]) -> None:
        """The inverse of `state_dict`."""
        rule = self._rule(store)
        names = {value: name for name, value in store.names.items()}
        for variable, param in zip(self.variables, rule.param_groups[0]["params"], strict=True):
            prefix = f"{names[variable]}/"
            rule.state[param] = {
                key.removeprefix(prefix): _placed(tensor, param)
                for key, tensor in state.items()
                if key.startswith(prefix)
            }
        schedule = self.optimizer.lr_sched
        for key, current in list(vars(schedule).items()):
            if f"{_SCHEDULE}{key}" in state:
                setattr(schedule, key, type(current)(state[f"{_SCHEDULE}{key}"].item()))

    def _rule(self, store: ParameterStore) -> torch.optim.Optimizer:
        if store not in self._rules:
            params = [store.own(variable) for variable in self.variables]
            self._rules[store] = self.optimizer.rule(params, self.optimizer.l2reg)
        return self._rules[store]

    def _step_rows(
        self, rule: torch.optim.Optimizer, param: torch.Tensor, gradient: torch.Tensor
    ) -> None:
        """Update the rows that a sparse gradient has, and the same rows of the state, alone."""
        rows = gradient.indices()[0]
        part = param[rows]
        part.grad = gradient.values()
        alone = self.optimizer.rule([part], l2reg=0)
        state = rule.state[param]
        alone.state[part] = {
            k: v[rows] if _is_per_element(v, param) else v for k, v in state.items()
        }
        alone.step()
        with torch.no_grad():
            param[rows] = part
            for key, content in alone.state[part].items():
                if not _is_per_element(content, part):
                    state[key] = content
                    continue
                if key not in state:
                    state[key] = torch.zeros_like(param)
                state[key][rows] = content


def _is_per_element(content: object, param: torch.Tensor) -> bool:
    return isinstance(content, torch.Tensor) and content.shape == param.shape and param.ndim > 0


def _placed(tensor: torch.Tensor, param: torch.Tensor) -> torch.Tensor:
    return tensor.to(param.device) if tensor.shape == param.shape else tensor
