"""Results without elements: torch's meta device, with rules in place of its slow functions.

torch's own functions for that device are Python for the most part. They take up to 3 ms a call, and
the first one imports `torch._dynamo`, which takes longer than all else that a first run does. The
rules here know the shape and type of what common operators make; the rest is left to torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from hetu.dispatch import DispatchMode
from hetu.runtime.meta import arrange, elementwise, products, windows
from hetu.runtime.meta.rules import META, RULES

__all__ = ["META", "MetaMode", "arrange", "elementwise", "products", "windows"]


class MetaMode(DispatchMode):
    """Operators on tensors of the meta device follow the rules; all others do what they do."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        rule = RULES.get(func)
        given = kwargs or {}
        result = rule(*args, **given) if rule and _is_meta(args, given) else None
        return func(*args, **given) if result is None else result


def _is_meta(args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    first = args[0] if args else None
    if isinstance(first, list | tuple) and first:
        first = first[0]
    return first.is_meta if isinstance(first, Tensor) else given.get("device") == META
