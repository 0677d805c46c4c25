"""Finds the operators that nothing here can run."""

from collections import Counter
from collections.abc import Mapping

from hetu.errors import UnsupportedError
from hetu.ir import Function, Graph, nested_graphs
from hetu.ops.registry import find
from hetu.passes.inline import called_function


def missing_operators(graph: Graph) -> Mapping[str, int]:
    """How many nodes, by operator, have neither kernel nor function; a function's count once."""
    missing: Counter[str] = Counter()
    entered: set[Function] = set()
    pending = [graph]
    while pending:
        for node in (node for inner in nested_graphs(pending.pop()) for node in inner.nodes):
            function = called_function(node)
            if function is None:
                if find(node.domain, node.op_type, node.version) is None:
                    missing[node.operator] += 1
            elif function not in entered:
                entered.add(function)
                pending.append(function.body)
    return missing


def check_operators(graph: Graph, hint: str = "") -> None:
    """Raise one `UnsupportedError` that lists all that is missing, with a hint at what helps."""
    missing = missing_operators(graph)
    if missing:
        listed = ", ".join(f"{name} ({count}x)" for name, count in sorted(missing.items()))
        raise UnsupportedError(
            f"hetu has no operator for: {listed}; "
            f"hetu.onnx.register(domain, op_type, function) gives it one{hint}"
        )
