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
        pairs = list(zip(params, results, strict=True))
        self._step_rows(rule, [(p, g.coalesce()) for p, g in pairs if g.is_sparse])
        for param, gradient in pairs:
            if not gradient.is_sparse:
                # torch's fused steps read parameter and gradient as if both lay in one order
                param.grad = gradient.to(param.dtype).contiguous()
        rule.step()
        torch.autograd.graph.increment_version(params)  # torch's fused steps leave it as it is
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
        self, rule: torch.optim.Optimizer, changes: Sequence[tuple[torch.Tensor, torch.Tensor]]
    ) -> None:
        """Update the rows that sparse gradients have, and the same rows of the states, alone."""
        if not changes:
            return
        rows = [gradient.indices()[0] for _, gradient in changes]
        parts = [param[index] for (param, _), index in zip(changes, rows, strict=True)]
        alone = self.optimizer.rule(parts, l2reg=0)
        for (param, gradient), part, index in zip(changes, parts, rows, strict=True):
            part.grad = gradient.values()
            state = rule.state[param]
            alone.state[part] = {
                k: v[index] if _is_per_element(v, param) else v for k, v in state.items()
            }
        alone.step()
        with torch.no_grad():
            for (param, _), part, index in zip(changes, parts, rows, strict=True):
                param[index] = part
                _take_rows(rule.state[param], param, alone.state[part], index)


def _take_rows(
    state: dict[str, Any], param: torch.Tensor, part: Mapping[str, Any], rows: torch.Tensor
) -> None:
    """Put the state of some of a parameter's rows into the parameter's."""
    for key, content in part.items():
        if not isinstance(content, torch.Tensor) or content.ndim != param.ndim:
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
