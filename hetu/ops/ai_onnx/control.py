"""Control flow: If and Loop; Scan has a file of its own."""

from hetu.ops.kinds import Any, Body
from hetu.ops.registry import op


@op("If")
def if_(cond: bool, *, then_branch: Body, else_branch: Body) -> tuple[Any, ...]:
    return then_branch() if cond else else_branch()
