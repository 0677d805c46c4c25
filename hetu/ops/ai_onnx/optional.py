"""Optional values: the value itself, or None."""

import torch

from hetu.errors import UsageError
from hetu.ops.kinds import Any, HostTensor, Type
from hetu.ops.registry import op


@op("Optional", since=15)
def optional(input: Any = None, *, type: Type | None = None) -> Any:
    return input


@op("OptionalHasElement", since=15)
def optional_has_element(input: Any = None) -> HostTensor:
    return torch.tensor(input is not None)


@op("OptionalGetElement", since=15)
def optional_get_element(input: Any) -> Any:
    if input is None:
        raise UsageError("the optional value is empty")
    return input
