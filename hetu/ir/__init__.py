"""What a graph is. Knows neither torch nor protobuf."""

from hetu.ir.graph import (
    Attribute,
    Data,
    Function,
    Graph,
    Model,
    Node,
    Recipe,
    Schedule,
    Value,
    add_outputs,
    next_serial,
)
from hetu.ir.names import Namer, describe, name_values, unique_names
from hetu.ir.rewrite import Substitution, remade, with_graphs
from hetu.ir.substitute import substitute
from hetu.ir.tensor import SparseTensor, Tensor
from hetu.ir.walk import (
    captures,
    dependencies,
    graph_between,
    graph_of,
    graph_values,
    needed_leaves,
    needed_nodes,
    nested_graphs,
)

__all__ = [
    "Attribute",
    "Data",
    "Function",
    "Graph",
    "Model",
    "Namer",
    "Node",
    "Recipe",
    "Schedule",
    "SparseTensor",
    "Substitution",
    "Tensor",
    "Value",
    "add_outputs",
    "captures",
    "dependencies",
    "describe",
    "graph_between",
    "graph_of",
    "graph_values",
    "name_values",
    "needed_leaves",
    "needed_nodes",
    "nested_graphs",
    "next_serial",
    "remade",
    "substitute",
    "unique_names",
    "with_graphs",
]
