"""Gradients as values of the graph."""

from collections.abc import Sequence

from hetu.api.value import Value, make
from hetu.errors import UsageError, show


def gradients(
    output_node: Value | Sequence[Value],
    node_list: Value | Sequence[Value],
    insert_grad: Value | Sequence[Value] | None = None,
    return_all: bool = False,
    *,
    sparse: bool = False,
) -> list[Value]:
    """The gradients of `output_node` with respect to each of `node_list`.

    The seed is ones, so that an output of several elements counts as their sum, unless
    `insert_grad` gives one seed per output. A value that the output does not depend on has the
    gradient zero. The results are ordinary values: gradients of gradients work. With `sparse`,
    which is for optimizers, gradients of tables that are only looked up in are sparse tensors.
    """
    if return_all:
        raise UsageError(
            "return_all: gradients are one node of the graph, there is no map of nodes"
        )
    ys, xs, seeds = _as_list(output_node), _as_list(node_list), _as_list(insert_grad)
    if not xs:
        raise UsageError("gradients: node_list is empty")
    if seeds and len(seeds) != len(ys):
        raise UsageError(f"gradients: {len(ys)} outputs, but {len(seeds)} seeds in insert_grad")
    for value in (*xs, *ys):
        if value.dtype is not None and not value.dtype.is_float:
            name = show(value.name or value.op_type)
            raise UsageError(f"gradients: {name} is {value.dtype}, which has none")
    made = make(
        "Gradient", *ys, *xs, *seeds,
        domain="hetu", count=len(ys), seeded=bool(seeds), sparse=sparse, outputs=len(xs),
    )  # fmt: skip
    return [made] if len(xs) == 1 else list(made)


def _as_list(values: Value | Sequence[Value] | None) -> list[Value]:
    if values is None:
        return []
    return list(values) if isinstance(values, list | tuple) else [values]  # pyright: ignore
