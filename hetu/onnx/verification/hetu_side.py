"""hetu's side of a comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

from hetu.onnx.onnx2hetu import LoadedModel
from hetu.onnx.verification.runtime import Run
from hetu.runtime.executor import Executor


class HetuSide:
    """Some values of a loaded model, by name; nodes do as the file says, as in ONNX Runtime."""

    def __init__(self, model: LoadedModel, names: Sequence[str], seed: int) -> None:
        self.model = model
        self.names = list(names)
        self._executor = Executor([model[name] for name in names], inference=None, seed=seed)

    def run(self, feeds: Mapping[str, Any]) -> Run:
        """The values, or why there are none."""
        try:
            results = self._executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
        except Exception as error:  # whatever it is, hetu failed, and the report says so
            return Run(error=describe_error(error), stage="run")
        return Run(dict(zip(self.names, results, strict=True)))

    def position(self, name: str) -> int:
        """A value's place in the topological order."""
        node = self.model[name].node
        return -1 if node is None else node.serial


def describe_error(error: Exception) -> str:
    """An error as a report shows it."""
    return f"{type(error).__name__}: {error}"
