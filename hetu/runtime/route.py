"""The way from what is fed to the plan that runs it, remembered for runs of the same form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hetu.convert import SHARED_TYPES
from hetu.ir import Value
from hetu.runtime.plan import Plan, Plans

Key = Value | str


@dataclass(frozen=True, slots=True)
class _Form:
    """What an array is fed for, and its form."""

    key: Key
    dtype: np.dtype
    shape: tuple[int, ...]


class Route:
    """The plans for feeds under certain keys, and the plan of the last run.

    `order` has the graph's inputs, and the keys of what is fed for them.
    """

    def __init__(self, plans: Plans, order: Sequence[tuple[Value, Key]]) -> None:
        self.plans = plans
        self.order = order
        self._latest: tuple[Plan, Sequence[_Form]] | None = None

    def find(self, feed_dict: Mapping[Key, Any]) -> tuple[Plan, list[torch.Tensor]] | None:
        """Plan and feeds, where what is fed has the form that it had in the last run."""
        if self._latest is None:
            return None
        plan, forms = self._latest
        feeds = []
        for form in forms:
            content = feed_dict[form.key]
            if type(content) is not np.ndarray or content.dtype is not form.dtype:
                return None
            if content.shape != form.shape or not content.flags.carray:
                return None
            feeds.append(torch.from_numpy(content))
        self.plans.latest = plan
        return plan, feeds

    def take(self, feed_dict: Mapping[Key, Any], feeds: Sequence[Any], plan: Plan) -> None:
        """Take note of a run's plan, where its feeds lie in the very memory of what was fed."""
        pairs = [(key, feed_dict[key]) for _, key in self.order]
        is_shared = all(map(_is_shared, feeds, (content for _, content in pairs)))
        forms = [_Form(key, c.dtype, c.shape) for key, c in pairs] if is_shared else ()
        self._latest = (plan, forms) if is_shared else None


def _is_shared(feed: Any, content: Any) -> bool:
    return (
        type(content) is np.ndarray
        and isinstance(feed, torch.Tensor)
        and feed.data_ptr() == content.ctypes.data
        and feed.dtype is SHARED_TYPES.get(content.dtype)
    )
