"""Every version of every operator against ONNX Runtime, at exactly that opset, on random calls."""

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as ort

import tests.versions  # noqa: F401 - registers the examples
from hetu.onnx import load_onnx
from hetu.ops.registry import kernels
from hetu.runtime.executor import Executor
from hetu.types import dtype
from tests.support.backend import assert_equal
from tests.support.examples import EXAMPLES, Call, Feed, Random
from tests.support.exceptions import expect_failure

REPETITIONS = 6
OLDEST = {"": 7, "ai.onnx.ml": 1, "com.microsoft": 1}
"""The domains that ONNX Runtime has, and the oldest version of which it says something reliable."""

BESIDE = 18
"""The version of ai.onnx beside another domain: ONNX Runtime wants every model to import it."""

NOT_IMPLEMENTED = (ort.NotImplemented, ort.InvalidGraph)


def versions() -> Iterator[tuple[str, str, int]]:
    """Each operator that hetu has a kernel for, at each version that changed it."""
    operators = {(k.domain, k.op_type) for k in kernels() if k.domain in OLDEST}
    for schema in onnx.defs.get_all_schemas_with_history():
        if (schema.domain, schema.name) in operators and not schema.deprecated:
            yield schema.domain, schema.name, schema.since_version
    runnable = {(kernel.domain, kernel.op_name) for kernel in ort.get_all_opkernel_def()}
    for schema in ort.get_all_operator_schema():
        is_known = onnx.defs.has(schema.name, schema.domain)
        is_served = not is_known and not schema.deprecated
        if (schema.domain, schema.name) in operators & runnable and is_served:
            yield schema.domain, schema.name, schema.since_version


def oldest_served() -> list[tuple[str, str, int]]:
    """Those versions, the ones before the oldest represented by it."""
    return sorted({(d, n, max(v, OLDEST[d])) for d, n, v in versions()})


@pytest.mark.parametrize(
    ("domain", "op_type", "version"), oldest_served(), ids=lambda part: str(part)
)
def test_version(domain: str, op_type: str, version: int, request: pytest.FixtureRequest) -> None:
    expect_failure(request, "versions", f"{op_type}-{version}")
    make = EXAMPLES.get((domain, op_type))
    assert make is not None, f"tests/versions has no example of {op_type}"
    for seed in range(REPETITIONS):
        call = make(Random(np.random.default_rng(seed)), version)
        model = build(call, domain, op_type, version)
        feeds = {
            f"x{i}": x
            for i, x in enumerate(call.inputs)
            if x is not None and i not in call.constants
        }
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options())
        except NOT_IMPLEMENTED as error:
            if any(
                text in str(error)
                for text in ("NOT_IMPLEMENTED", "is under development", "No Op registered")
            ):
                pytest.skip(f"ONNX Runtime: {error}")
            raise
        expected = evaluate(session, feeds, call.shared)
        actual = run(model, feeds)
        for i, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
            where = f"seed {seed}, output {i}, attributes {call.attributes}"
            assert_equal(ours, theirs, where, call.rtol, call.atol)


def evaluate(
    session: onnxruntime.InferenceSession, feeds: dict[str, np.ndarray], shared: dict[int, int]
) -> list[object]:
    """ONNX Runtime's results; `shared` outputs lie in the memory of inputs."""
    if not shared:
        return list(session.run(None, feeds))
    binding = session.io_binding()
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(x) for name, x in feeds.items()}
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    for i, output in enumerate(session.get_outputs()):
        if i in shared:
            binding.bind_ortvalue_output(output.name, values[f"x{shared[i]}"])
        else:
            binding.bind_output(output.name)
    session.run_with_iobinding(binding)
    return list(binding.copy_outputs_to_cpu())


def options() -> onnxruntime.SessionOptions:
    """A session that runs the node as it is."""
    session_options = onnxruntime.SessionOptions()
    session_options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session_options.intra_op_num_threads = 1
    session_options.log_severity_level = 4
    return session_options


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[object]:
    """hetu's results."""
    loaded = load_onnx(model)
    executor = Executor(list(loaded.outputs.values()), inference=None, seed=0)
    return executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)


def build(call: Call, domain: str, op_type: str, version: int) -> onnx.ModelProto:
    """A model of one node."""
    names = ["" if x is None else f"x{i}" for i, x in enumerate(call.inputs)]
    node = onnx.helper.make_node(
        op_type, names, [f"y{i}" for i in range(call.outputs)], domain=domain,
        **{name: attribute(value) for name, value in call.attributes.items()},
    )  # fmt: skip
    given = [(i, x) for i, x in enumerate(call.inputs) if x is not None]
    infos = [
        onnx.helper.make_value_info(f"x{i}", type_of(x, i in call.optionals))
        for i, x in given
        if i not in call.constants
    ]
    tensors = [onnx.numpy_helper.from_array(x, f"x{i}") for i, x in given if i in call.constants]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    graph = onnx.helper.make_graph([node], op_type, infos, outputs, tensors)
    opsets = [onnx.helper.make_opsetid(domain, version)]
    if domain:
        opsets.append(onnx.helper.make_opsetid("", BESIDE))
    ir_version = onnx.helper.find_min_ir_version_for(opsets, ignore_unknown=True)
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=max(4, ir_version))


def attribute(value: object) -> object:
    """An attribute's value as onnx's helper takes it."""
    return onnx.numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value


def type_of(x: Feed, is_optional: bool = False) -> onnx.TypeProto:
    """An input's type, without its sizes; the elements of a sequence may differ in rank."""
    if is_optional:
        return onnx.helper.make_optional_type_proto(type_of(x))
    if isinstance(x, dict):
        key, value = (dtype(np.asarray(part).dtype).code for part in next(iter(x.items())))
        number = onnx.helper.make_tensor_type_proto(value, [])
        return onnx.helper.make_map_type_proto(key, number)
    if isinstance(x, list):
        element = onnx.helper.np_dtype_to_tensor_dtype(x[0].dtype)
        return onnx.helper.make_sequence_type_proto(
            onnx.helper.make_tensor_type_proto(element, None)
        )
    element = onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
    return onnx.helper.make_tensor_type_proto(element, [None] * x.ndim)
