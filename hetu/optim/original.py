"""Optimizer states as Hetu's checkpoints name them, for the torch optimizers that stand in."""

import math
from collections.abc import MutableMapping, Sequence

import torch

from hetu.optim.rules import Lamb, Momentum

_SUFFIXES: dict[type[torch.optim.Optimizer], dict[str, str]] = {
    Momentum: {"momentum_v": "momentum_v"},
    torch.optim.Adagrad: {"sum": "adagrad_accum"},
    torch.optim.Adam: {
        "exp_avg": "adam_m",
        "exp_avg_sq": "adam_v",
        "max_exp_avg_sq": "adam_maxv",
    },
    torch.optim.AdamW: {"exp_avg": "adamw_m", "exp_avg_sq": "adamw_v"},
    Lamb: {"lamb_m": "lamb_m", "lamb_v": "lamb_v"},
}
"""What follows `<parameter>_` in the name that Hetu gives a state."""

_POWERS = "betats_"
"""What Hetu calls the powers of the betas so far, followed by a number."""


def take_states(
    rule: torch.optim.Optimizer, names: Sequence[str], tensors: MutableMapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The states of the variables `names`, by variable and torch's name; taken out of `tensors`."""
    group = rule.param_groups[0]
    suffixes = dict(_SUFFIXES.get(type(rule), {}))
    if not group.get("amsgrad"):
        suffixes.pop("max_exp_avg_sq", None)
    states = {
        f"{name}/{key}": tensors.pop(f"{name}_{suffix}")
        for name in names
        for key, suffix in suffixes.items()
        if f"{name}_{suffix}" in tensors
    }
    if "betas" not in group and not isinstance(rule, torch.optim.Adagrad):
        return states
    step = _steps(tensors, group["betas"]) if states and "betas" in group else 0
    owners = dict.fromkeys(key.rpartition("/")[0] for key in states)
    states |= {f"{name}/step": torch.tensor(float(step)) for name in owners}
    for key in [key for key in states if key.endswith("/max_exp_avg_sq")]:
        states[key] = states[key] * (1 - group["betas"][1] ** step)  # Hetu's is bias-corrected
    return states


def _steps(tensors: MutableMapping[str, torch.Tensor], betas: tuple[float, float]) -> int:
    """How many steps the first powers of the betas among the tensors stand for."""
    numbers = [n.removeprefix(_POWERS) for n in tensors if n.startswith(_POWERS)]
    number = min((n for n in numbers if n.isdigit()), key=int, default=None)
    if number is None:
        return 0
    powers = tensors.pop(_POWERS + number).double().reshape(-1).tolist()
    for beta, power in zip(reversed(betas), reversed(powers), strict=True):
        if 0 < beta < 1 and 0 < power <= 1:
            return round(math.log(power) / math.log(beta))
    return _MANY


_MANY = 1 << 20
"""Steps after which the powers of the betas are zero in float32."""
