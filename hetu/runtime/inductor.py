"""Generated functions through torch.compile."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from hetu.errors import RunError, UnsupportedError

_Program = Callable[[Sequence[Any], Sequence[Any]], tuple[Any, ...]]


def compiled(function: _Program) -> _Program:
    """The function as torch.compile makes it, when it first runs; shapes are constants in it."""
    program = torch.compile(function, dynamic=False)

    def run(feeds: Sequence[Any], parameters: Sequence[Any]) -> tuple[Any, ...]:
        try:
            return program(feeds, parameters)
        except Exception as error:
            function(feeds, parameters)  # where the graph is at fault, this names the node
            if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise UnsupportedError(
                    "torch.compile cannot compile this graph (it needs a C++ compiler, such as "
                    f"g++; on GPUs, Triton); leave out compile=True: {error}"
                ) from error
            raise RunError(
                f"what torch.compile made of this graph failed; leave out compile=True: {error}"
            ) from error

    return run
