"""The operator that `minimize` returns."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch

from hetu.api.value import Value
from hetu.errors import UsageError, show
from hetu.optim.original import take_states
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
                param.grad = gradient.to(param.dtype)
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
        return tensors | {f"{_SCHEDULE}{key}": _exact(number) for key, number in numbers.items()}

    def check_state_dict(self, store: ParameterStore, state: Mapping[str, torch.Tensor]) -> None:
        """Every variable has all that the rule keeps, in the right shapes, or nothing at all."""
        expected = self._kept()
        for name, param, held in self._states(store, state):
            if held and set(held) != set(expected):
                raise UsageError(
                    f"optimizer state of {show(name)}: the checkpoint has {', '.join(held)}; "
                    f"the optimizer keeps {', '.join(expected) or 'nothing'}"
                )
            for key, tensor in held.items():
                shape = param.shape if expected[key] else torch.Size()
                if tensor.shape != shape:
                    raise UsageError(
                        f"optimizer state {key} of {show(name)}: the checkpoint has shape "
                        f"{list(tensor.shape)}, the optimizer wants {list(shape)}"
                    )

    def load_state_dict(self, store: ParameterStore, state: Mapping[str, torch.Tensor]) -> None:
        """The inverse of `state_dict`; where it has nothing of a variable, that starts anew."""
        rule = self._rule(store)
        for _, param, held in self._states(store, state):
            fresh = self.optimizer.rule([param], 0).state.get(param, {})
            rule.state[param] = {k: _placed(t, param) for k, t in held.items()} or dict(fresh)
        schedule = self.optimizer.lr_sched
        for key in vars(schedule):
            if f"{_SCHEDULE}{key}" in state:
                setattr(schedule, key, state[f"{_SCHEDULE}{key}"].item())

    def take_original(
        self, store: ParameterStore, tensors: MutableMapping[str, torch.Tensor]
    ) -> Mapping[str, torch.Tensor]:
        """See `original.take_states`."""
        names = [name for name, _, _ in self._states(store, {})]
        return take_states(self._rule(store), names, tensors)

    def _states(
        self, store: ParameterStore, state: Mapping[str, torch.Tensor]
    ) -> Iterator[tuple[str, torch.Tensor, dict[str, torch.Tensor]]]:
        """Name, parameter and what a state has for it, for each variable."""
        names = {value: name for name, value in store.names.items()}
        for variable, param in zip(
            self.variables, self._rule(store).param_groups[0]["params"], strict=True
        ):
            prefix = f"{names[variable]}/"
            keys = [key for key in self._kept() if prefix + key in state]
            yield names[variable], param, {key: state[prefix + key] for key in keys}

    def _kept(self) -> dict[str, bool]:
        """What the rule keeps of a parameter after a step, and whether for each element."""
        part = torch.zeros(1)
        part.grad = torch.zeros(1)
        rule = self.optimizer.rule([part], 0)
        rule.step()
        return {key: _is_per_element(content, part) for key, content in rule.state[part].items()}

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
    """A copy, where the parameter is if it has an entry for each element."""
    device = param.device if _is_per_element(tensor, param) else tensor.device
    return tensor.to(device, copy=True)


def _exact(number: float) -> torch.Tensor:
    return torch.tensor(number, dtype=torch.int64 if isinstance(number, int) else torch.float64)
