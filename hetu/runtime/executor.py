"""The executor: named subgraphs over one set of parameters."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hetu.convert import to_numpy
from hetu.errors import UsageError, show
from hetu.ir import Value, graph_of
from hetu.passes.fusion import Explanation
from hetu.random import next_seed
from hetu.runtime.checkpoint import Training, load_checkpoint, save_checkpoint
from hetu.runtime.device import Placement, torch_device
from hetu.runtime.engine import find_engine
from hetu.runtime.heap import keep_freed_memory
from hetu.runtime.ndarray import NDArray
from hetu.runtime.params import ParameterStore
from hetu.runtime.precision import Precision
from hetu.runtime.prepared import Preparer
from hetu.runtime.profile import Profile
from hetu.runtime.subexecutor import Evaluated, SubExecutor
from hetu.runtime.update import Update

_AUTOMATIC = object()

_IGNORED = frozenset({
    "comm_mode", "use_sparse_pull", "cstable_policy", "bsp", "prefetch", "enable_lazy",
    "cache_bound", "log_path", "logger", "project", "run_name", "run_id", "pipeline",
    "dist_strategy", "use_preduce", "overlap", "use_nccl_collectives", "dynamic_memory",
})  # fmt: skip
"""Options of the original that concern several machines; accepted, with a warning, and ignored."""


class Executor:
    """Runs graphs.

    `eval_node_dict` is a list of values and train operators, or a dict of such lists by subgraph
    name. All subgraphs share the variables. A subgraph with a train operator runs in training mode
    (dropout, batch statistics), others in inference mode; `inference` overrides this, and
    `inference=None` leaves it to what the file says of each node. `ctx` is the device, `seed` makes
    initial values and random operators reproducible. Without `optimize`, every node runs as it
    stands in the graph; with it, the process also keeps freed memory (`runtime.heap`).

    `precision` is what is computed in: "fp32", the types that the graph states; "bf16" or "fp16",
    mixed precision by torch's autocast, which lowers products and convolutions, as without
    `optimize`. A graph with variables in 16 bits, such as a model in float16, has chosen by itself
    and computes in its own types. Variables, their gradients, checkpoints, exports and results keep
    the graph's types. With "fp16", losses are scaled while gradients are taken: a run whose
    gradients are not finite trains nothing and halves the scale, as in `torch.amp.GradScaler`;
    checkpoints hold the scale.

    `compile` hands the generated source to torch.compile, once for each shape of feeds: it needs a
    C++ compiler, and minutes for large graphs. `backend` is the engine, "onnxruntime" or
    "openvino", that subgraphs in inference mode run in, on the CPU and in the graph's types, with
    the present weights; those that train, or take gradients, run on torch.
    """

    def __init__(
        self,
        eval_node_dict: Mapping[str, Sequence[Any]] | Sequence[Any],
        config: Any = None,
        timing: str | None = None,
        *,
        ctx: Placement = None,
        seed: int | None = None,
        inference: Any = _AUTOMATIC,
        precision: str = "fp32",
        optimize: bool = True,
        compile: bool = False,
        backend: str | None = None,
        **options: Any,
    ) -> None:
        _check_options(options)
        named = (
            eval_node_dict if isinstance(eval_node_dict, Mapping) else {"default": eval_node_dict}
        )
        lists = {name: _flatten(items) for name, items in named.items()}
        self.device = torch_device(ctx)
        self.seed = next_seed() if seed is None else seed
        self._generator = torch.Generator(self.device).manual_seed(self.seed)
        self._inference = inference
        self._precision = Precision(precision)
        _check_backend(backend, self.device, self._precision)
        needed = [v for items in lists.values() for item in items for v in _needed(item)]
        leaves = graph_of(needed).initializers
        variables = [value for value in leaves if not value.constant]
        self.store = ParameterStore(variables, self.device, np.random.default_rng(self.seed))
        self._preparer = Preparer(self.store, self.device)
        self._optimize = optimize
        if optimize and self.device.type == "cpu":
            keep_freed_memory()
        self._compile = compile
        self._backend = backend
        self.subexecutor = {name: self._plan(name, items) for name, items in lists.items()}

    def run(
        self,
        name: str | Sequence[Any] = "default",
        eval_node_list: Sequence[Any] = (),
        feed_dict: Mapping[Any, Any] | None = None,
        convert_to_numpy_ret_vals: bool = False,
        inference: Any = _AUTOMATIC,
        dataloader_step: bool = True,
    ) -> list[Any]:
        """Evaluate the subgraph `name`; results in its order, None for train operators.

        `eval_node_list` plans the subgraph anew; without `dataloader_step`, data loaders give the
        same batch again in the next run. Feeds are keyed by value or name; arrays, tensors,
        lists and NDArrays are accepted. Raises `UsageError` for feeds that do not fit and
        `RunError` where an operator fails.
        """
        if not isinstance(name, str):
            name, eval_node_list = "default", name
        if eval_node_list:
            self._replan(name, eval_node_list)
        subgraph = self._subgraph(name)
        mode = subgraph.inference if inference is _AUTOMATIC else inference
        results = subgraph.run(feed_dict or {}, mode, dataloader_step)
        return [_result(value, convert_to_numpy_ret_vals) for value in results]

    def source(self, name: str = "default") -> str:
        """The Python source that runs a subgraph."""
        subgraph = self._subgraph(name)
        return subgraph.source(subgraph.inference)

    def explain(self, name: str = "default") -> Explanation:
        """What was made faster in a subgraph, and what was not and why: notes, and a readable text.

        Before the first run, shapes are not known, and some reasons say so.
        """
        subgraph = self._subgraph(name)
        return subgraph.explain(subgraph.inference)

    def profile(
        self,
        name: str = "default",
        feed_dict: Mapping[Any, Any] | None = None,
        runs: int = 10,
    ) -> Profile:
        """What each node of a subgraph costs, in time and memory, as torch's profiler sees it.

        The nodes are those of the plan for these feeds, after all that makes it faster; fused ones
        bear the names of the outputs that they make, and what weights alone decide is not among
        them. Derivatives are in the time of the `Gradient` node, and by the nodes that they are of
        in `backward_seconds`. The runs change nothing: no weights, statistics, schedules, random
        numbers or data loaders, so that the optimizer's own step is left out. Each node pays for
        being watched, on a GPU for waiting too, and `compile` is left out, so that a whole run is
        slower than an ordinary one. Raises as `run` does, and `UsageError` for a subgraph that runs
        in another engine.
        """
        if runs < 1:
            raise UsageError(f"runs must be at least 1, not {runs}")
        subgraph = self._subgraph(name)
        return subgraph.profile(feed_dict or {}, subgraph.inference, runs)

    def get_batch_num(self, name: str = "default") -> int | None:
        """How many batches the data loaders of a subgraph have in an epoch."""
        return self._subgraph(name).batch_num

    def set_dataloader_batch_index(self, name: str, index: int) -> None:
        """Let the data loaders of a subgraph go on with a batch of the current epoch."""
        for value in self._subgraph(name).sources:
            value.set_batch_index(name, index)

    @property
    def batch_num(self) -> int | None:
        """`get_batch_num` of the only subgraph."""
        return self.get_batch_num(next(iter(self.subexecutor)))

    @property
    def updates(self) -> list[Update]:
        """The train operators of all subgraphs, each once."""
        items = [item for subgraph in self.subexecutor.values() for item in subgraph.evaluated]
        return list(dict.fromkeys(item for item in items if isinstance(item, Update)))

    def state_dict(self) -> dict[str, np.ndarray]:
        """The variables' values by name."""
        return {name: to_numpy(tensor) for name, tensor in self.store.state_dict().items()}

    def load_dict(self, state: Mapping[str, Any]) -> None:
        """Take over values by name; names that the graph does not have are passed over."""
        self.store.load_state_dict({n: torch.as_tensor(v) for n, v in state.items()})

    def save(self, file_path: str, file: str = "checkpoint", others: Any = None) -> None:
        """Write all that training needs to go on to `file_path/file`, as safetensors.

        Variables are under their names; states of optimizers, schedules, random generators and data
        loaders beside them. `others` is anything that JSON can hold.
        """
        save_checkpoint(file_path, file, self._training, others)

    def load(self, file_path: str, file: str = "checkpoint", consider_splits: bool = False) -> Any:
        """Read what `save` wrote and return its `others`; training goes on as if never stopped.

        Also reads other safetensors files with the variables' names, and what Hetu wrote: pickles,
        and folders of `.npy` files. Raises `UsageError` where the file is broken, lacks a variable
        or does not fit, and then changes nothing; warns of what the graph has no place for.
        """
        return load_checkpoint(file_path, file, self._training)

    def _subgraph(self, name: str) -> SubExecutor:
        if name not in self.subexecutor:
            known = ", ".join(map(show, self.subexecutor))
            raise UsageError(f"the executor has no subgraph {show(name)}; it has {known}")
        return self.subexecutor[name]

    @property
    def _training(self) -> Training:
        subgraphs = list(self.subexecutor.values())
        return Training(self.store, self.updates, self._generator, subgraphs, self._precision)

    def _plan(self, name: str, items: Sequence[Evaluated]) -> SubExecutor:
        trains = any(isinstance(item, Update) and item.trains for item in items)
        if trains:
            self.store.keep(self.store.positions.values())
        inference = not trains if self._inference is _AUTOMATIC else self._inference
        return SubExecutor(
            name, items, self.store, self.device, self._generator, inference, self._precision,
            self._preparer, self._optimize and self._precision.dtype is None,
            self._compile, self._backend,
        )  # fmt: skip

    def _replan(self, name: str, eval_node_list: Sequence[Any]) -> None:
        items = _flatten(eval_node_list)
        if name in self.subexecutor and items == self.subexecutor[name].evaluated:
            return
        leaves = graph_of(v for item in items for v in _needed(item)).initializers
        unknown = [v for v in leaves if not v.constant and v not in self.store]
        if unknown:
            raise UsageError(
                f"{show(unknown[0].name)} is no variable of this executor; make a new one"
            )
        self.subexecutor[name] = self._plan(name, items)


def _check_options(options: Mapping[str, Any]) -> None:
    for name in options:
        if name not in _IGNORED:
            raise UsageError(f"Executor has no option {show(name)}")
        warnings.warn(f"Executor: {name} concerns several machines and is ignored", stacklevel=3)


def _check_backend(backend: str | None, device: torch.device, precision: Precision) -> None:
    if backend is None:
        return
    find_engine(backend, device)
    if precision.dtype is not None:
        raise UsageError(
            f"backend={show(backend)} computes in the graph's types; leave out "
            f"precision={show(precision.name)}"
        )


def _flatten(items: Sequence[Any]) -> list[Evaluated]:
    flat: list[Evaluated] = []
    for item in items if isinstance(items, list | tuple) else [items]:
        if isinstance(item, Value | Update):
            flat.append(item)
        elif isinstance(item, list | tuple):
            flat.extend(_flatten(item))
        else:
            raise UsageError(f"an executor evaluates values and train operators, not {show(item)}")
    return flat


def _needed(item: Evaluated) -> Sequence[Value]:
    return [item] if isinstance(item, Value) else item.needed


def _result(value: Any, as_numpy: bool) -> Any:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        if isinstance(value, torch.Tensor) and value.requires_grad:
            value = value.detach()
        return to_numpy(value) if as_numpy else NDArray(value)
    if isinstance(value, tuple):
        return [_result(element, as_numpy) for element in value]
    if isinstance(value, dict):
        return {key: _result(element, as_numpy) for key, element in value.items()}
    return value
