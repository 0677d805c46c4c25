"""The rules, by direction, operator and step."""

from collections.abc import Callable, Sequence
from typing import Literal

from hetu.ir import Value
from hetu.passes.opset.rewrite import Rewrite

Results = Value | Sequence[Value | None]
Rule = Callable[[Rewrite], Results]
Direction = Literal["up", "down"]

_rules: dict[tuple[Direction, str, str, int], Rule] = {}


def up(op_type: str, since: int, domain: str = "") -> Callable[[Rule], Rule]:
    """Register the rule that leads an operator to version `since` from the one before.

    It returns what takes the place of the node's outputs.
    """
    return _register("up", op_type, since, domain)


def down(op_type: str, since: int, domain: str = "") -> Callable[[Rule], Rule]:
    """Register the rule that leads an operator from version `since` to the one before.

    Where `since` is the operator's first version, other operators take its place.
    """
    return _register("down", op_type, since, domain)


def find_rule(direction: Direction, domain: str, op_type: str, since: int) -> Rule | None:
    """The rule of a step, None where it follows from the schemas."""
    return _rules.get((direction, domain, op_type, since))


def _register(
    direction: Direction, op_type: str, since: int, domain: str
) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        _rules[direction, domain, op_type, since] = rule
        return rule

    return register
