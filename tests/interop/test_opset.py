"""Conversion between opsets on export, both ways: results of ONNX Runtime before and after."""

import io
import re
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings, strategies
from hypothesis.strategies import DataObject
from onnx import parser
from torch import nn
from torch.nn import functional as F  # noqa: N812

import hetu as ht
from hetu.errors import UnsupportedError
from hetu.onnx.schemas import OnnxSchemas
from hetu.passes.opset.derive import is_derivable
from hetu.passes.opset.rule import find_rule
from tests.support.backend import assert_equal
from tests.support.examples import Call, Random, find_example
from tests.test_versions import (
    CALLS,
    NOT_IMPLEMENTED,
    REASONS,
    build,
    feeds,
    options,
    run,
    versions,
)

ABSENT = frozenset({
    "ImageDecoder", "Optional", "OptionalGetElement", "OptionalHasElement", "RegexFullMatch",
    "StringConcat", "StringSplit",
})  # fmt: skip
"""Operators that nothing stands for in opsets before their first."""

NO_FORM = {
    "BitCast": (26, "takes the bits of"),
    "Col2Im": (18, "'block_shape' is computed"),
    "CausalConvWithState": (27, "sizes of its inputs that are not known"),
    "CumProd": (26, "'axis' is computed"),
    "DFT": (20, "'axis' is computed|last size"),
    "DequantizeLinear": (21, "does not take"),
    "Identity": (14, "does not take"),
    "OptionalGetElement": (14, "Identity 14 -> 13: .* does not take"),
    "Resize": (19, "half_pixel_symmetric|antialias"),
    "RoiAlign": (16, "coordinate_transformation_mode"),
    "STFT": (17, "last size"),
}
"""Some calls of these have no older form: before which opset, and why."""

DIFFERS = {"Bernoulli": "draws other numbers"}


def convert(model: onnx.ModelProto, opset: int, path: Path) -> onnx.ModelProto:
    loaded = ht.onnx.load_onnx(model)
    outputs = list(loaded.outputs.values())
    inputs = list(loaded.inputs.values())
    return ht.onnx.export(ht.Executor(outputs, seed=0), inputs, outputs, path, opset=opset)


def infer(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[object]:
    """ONNX Runtime's results, hetu's where it lacks the operator or the version."""
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options())
        return session.run(None, feeds)
    except NOT_IMPLEMENTED as error:
        if not any(reason in str(error) for reason in REASONS):
            raise
        return run(model, feeds)


OLDEST = 7
"""The oldest version that is converted here: ONNX Runtime says little about older ones."""

VERSIONS = sorted({
    (name, max(version, OLDEST))
    for domain, name, version in versions()
    if onnx.defs.has(name, max(version, OLDEST), domain) and not domain
})  # fmt: skip


@pytest.mark.parametrize(("op_type", "version"), VERSIONS, ids=str)
def test_each_version_up_and_down(op_type: str, version: int, tmp_path: Path) -> None:
    if op_type in DIFFERS:
        pytest.skip(DIFFERS[op_type])

    @settings(CALLS, max_examples=2)
    @given(strategies.data())
    def agree(data: DataObject) -> None:
        make = find_example("", op_type, version)
        assert make is not None
        check_conversions(op_type, version, make(Random(data), version), tmp_path / "m.onnx")

    agree()


def check_conversions(op_type: str, version: int, call: Call, path: Path) -> None:
    """The call gives the same results at other opsets, or has no form there."""
    model = build(call, "", op_type, version)
    expected = infer(model, feeds(call))
    for opset in (13, 17, 28):
        if opset == version:
            continue
        try:
            converted = convert(model, opset, path)
        except UnsupportedError as error:
            check_reason(op_type, version, opset, str(error))
            continue
        assert {entry.version for entry in converted.opset_import} == {opset}
        actual = infer(converted, feeds(call))
        for i, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
            where = f"opset {opset}, output {i}, attributes {call.attributes}"
            assert_equal(ours, theirs, where, call.rtol, call.atol)


def check_reason(op_type: str, version: int, opset: int, error: str) -> None:
    """A call may lack a form in an older opset for a reason that is known."""
    first = OnnxSchemas({}).versions("", op_type)[0].since
    if (
        op_type in ABSENT
        and opset < first
        and f"the operator exists from opset {first} on" in error
    ):
        return
    newest, reason = NO_FORM.get(op_type, (0, ""))
    assert opset < min(version, newest) and re.search(reason, error), error


class Images(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.groups, self.slope = nn.GroupNorm(2, 8), nn.PReLU(8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.slope(self.groups(self.norm(self.conv(x))))
        y = F.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False)
        y = F.hardswish(F.avg_pool2d(y, 3, 2, padding=1, ceil_mode=True))
        y = F.interpolate(F.pad(y, (1, 1, 1, 1), mode="reflect"), size=(9, 9), mode="nearest")
        first, second = torch.chunk(y.amax((2, 3)) + y.mean((2, 3)), 2, 1)
        return F.softmax(torch.cat([second, first], 1), -1), F.gelu(first), F.mish(second)


class Sequences(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.lstm = nn.Embedding(11, 8), nn.LSTM(8, 4, bidirectional=True)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.lstm(self.words(x))[0])


MODELS = {
    "images": (Images, torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)),
    "sequences": (Sequences, torch.arange(21).reshape(3, 7) % 11),
}


def exported(name: str, opset: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    torch.manual_seed(0)
    make, x = MODELS[name]
    stream, net = io.BytesIO(), make().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if opset >= 18 and name == "images":
            program = torch.onnx.export(net, (x,), dynamo=True, opset_version=opset, verbose=False)
            model = program.model_proto
        else:
            torch.onnx.export(net, (x,), stream, dynamo=False, opset_version=opset)
            model = onnx.load_from_string(stream.getvalue())
    return model, {model.graph.input[0].name: x.numpy()}


@pytest.mark.parametrize(
    ("name", "opset"), [("images", 11), ("images", 21), ("sequences", 14), ("sequences", 20)]
)
def test_models_of_torch(name: str, opset: int, tmp_path: Path) -> None:
    model, feeds = exported(name, opset)
    expected = infer(model, feeds)
    for target in range(13, 29):
        converted = convert(model, target, tmp_path / "m.onnx")
        onnx.checker.check_model(converted, full_check=True)
        for version in (converted, convert(converted, max(opset, 13), tmp_path / "back.onnx")):
            for ours, theirs in zip(infer(version, feeds), expected, strict=True):
                assert_equal(ours, theirs, f"opset {target}", 1e-4, 1e-5)


def test_broadcasting_of_opset_6(tmp_path: Path) -> None:
    model = parser.parse_model("""<ir_version: 3, opset_import: ["" : 6]>
    g (float[2, 3, 4] x, float[3] b, float[3] s) => (float[2, 3, 4] y)
    { h = Add <axis = 1, broadcast = 1> (x, b)
      y = PRelu <consumed_inputs = [0, 0]> (h, s) }""")
    del model.graph.node[1].attribute[:]
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    b, s = np.float32([1, 2, 3]), np.float32([0.1, 0.2, 0.3])
    shifted = x + b[:, None]
    expected = np.where(shifted < 0, shifted * s[:, None], shifted)
    for opset in (13, 20, 28):
        converted = convert(model, opset, tmp_path / "m.onnx")
        (result,) = infer(converted, {"x": x, "b": b, "s": s})
        np.testing.assert_allclose(result, expected, rtol=1e-6)


NESTED = """<ir_version: 8, opset_import: ["" : 12, "local" : 1]>
g (float[2, 3, 4] x, bool flag) => (float[2, 3, 4] y)
{ h = local.scaled <axis = 1> (x)
  y = If (flag) <
    then_branch = yes () => (float[2, 3, 4] a) { a = Softmax <axis = 1> (h) },
    else_branch = no () => (float[2, 3, 4] b) { s = ReduceSum <axes = [0, 2]> (h) b = Add(h, s) }
  > }
<domain: "local", opset_import: ["" : 12]> scaled <axis> (v) => (r)
{ m = Unsqueeze <axes = [0]> (v)  n = Squeeze <axes = [0]> (m) r = Softmax <axis: int = 2> (n) }
"""


def test_branches_and_functions(tmp_path: Path) -> None:
    model = parser.parse_model(NESTED)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    for flag in (np.array(True), np.array(False)):
        expected = infer(model, {"x": x, "flag": flag})
        for opset in (13, 18, 28):
            converted = convert(model, opset, tmp_path / "m.onnx")
            onnx.checker.check_model(converted, full_check=True)
            assert converted.functions[0].opset_import[0].version == opset
            assert_equal(infer(converted, {"x": x, "flag": flag}), expected)


CALLS_OF_FUNCTIONS = """<ir_version: 10, opset_import: ["" : 12, "local" : 1]>
g (float[2, 3, 4] x, bool flag) => (float[2, 3, 4] y, float[6, 4] z)
{ h = local.outer (x)
  m = Reshape (h, shape)
  z = local.normal <axis = 0> (m)
  y = If (flag) < then_branch = yes () => (float[2, 3, 4] a) { a = local.normal <axis = 1> (h) },
                  else_branch = no () => (float[2, 3, 4] b) { b = local.double (h) } > }
<domain: "local", opset_import: ["" : 12]> normal <axis> (v) => (r)
{ r = Softmax <axis: int = @axis> (v) }
<domain: "local", opset_import: ["" : 12, "local" : 1]> outer (v) => (r)
{ d = local.double (v)  r = local.normal <axis = 2> (d) }
<domain: "local", opset_import: ["" : 12]> double (v) => (r) { r = Add (v, v) }
"""


def test_functions_without_a_form_of_their_own(tmp_path: Path) -> None:
    """What their attributes and types are is known where they are called: their nodes go there."""
    model = parser.parse_model(CALLS_OF_FUNCTIONS)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.int64([6, 4]), "shape"))
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    for flag in (np.array(True), np.array(False)):
        expected = infer(model, {"x": x, "flag": flag})
        for opset in (13, 28):
            converted = convert(model, opset, tmp_path / "m.onnx")
            onnx.checker.check_model(converted, full_check=True)
            assert [function.name for function in converted.functions] == ["outer", "double"]
            assert_equal(infer(converted, {"x": x, "flag": flag}), expected)


def test_joined_models_of_different_opsets(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : %d]> g (float[2, 3] x) => (float[2, 3] y)
    { s = %s (x) y = Sub (x, s) }"""
    first = ht.onnx.load_onnx(parser.parse_model(text % (13, "ReduceMax <axes = [1]>")))
    second = ht.onnx.load_onnx(parser.parse_model(text % (20, "Gelu")))
    outputs = [first.outputs["y"] * second.outputs["y"]]
    inputs = [first.inputs["x"], second.inputs["x"]]
    proto = ht.onnx.export(ht.Executor(outputs), inputs, outputs, tmp_path / "m.onnx")
    assert [entry.version for entry in proto.opset_import] == [20]
    onnx.checker.check_model(proto, full_check=True)
    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    gelu = x - F.gelu(torch.from_numpy(x)).numpy()
    (result,) = infer(proto, {"x": x, "x_1": x})
    np.testing.assert_allclose(result, (x - x.max(1, keepdims=True)) * gelu, rtol=1e-4, atol=1e-6)


def test_one_error_lists_all_nodes_and_steps(tmp_path: Path) -> None:
    model = parser.parse_model("""<ir_version: 10, opset_import: ["" : 26]>
    g (float[2, 3] x, bool flag) => (int32[N, M] y)
    { m = BitCast <to = 6> (x)
      y = If (flag) < then_branch = a () => (int32[N, M] p) { p = BitCast <to = 6> (x) },
                      else_branch = b () => (int32[N, M] q) { q = Identity (m) } > }""")
    with pytest.raises(UnsupportedError) as caught:
        convert(model, 17, tmp_path / "m.onnx")
    message = str(caught.value)
    assert "BitCast-26 'm', BitCast 26 -> 25: nothing before opset 26 takes the bits" in message
    assert "then_branch / BitCast-26 'p'" in message
    assert list(tmp_path.iterdir()) == []


def test_names_of_values_stay(tmp_path: Path) -> None:
    model = parser.parse_model("""<ir_version: 8, opset_import: ["" : 12]>
    g (float[2, 3, 4] x) => (float[2, 3, 4] y) { h = Relu (x)  p = Softmax (h)  y = Relu (p) }""")
    for i, node in enumerate(model.graph.node):
        node.name = f"node{i}"
    converted = convert(model, 13, tmp_path / "m.onnx")
    made = {name for node in converted.graph.node for name in node.output}
    assert {"h", "p", "y"} <= made and converted.graph.output[0].name == "y"
    assert [n.name for n in converted.graph.node if n.op_type == "Relu"] == ["node0", "node2"]


def test_names_of_nodes_differ(tmp_path: Path) -> None:
    model = parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]>
    g (float[4] x, float scale, uint16 zero) => (float[4] y)
    { q = QuantizeLinear (x, scale, zero)  y = DequantizeLinear (q, scale, zero) }""")
    model.graph.node[0].name, model.graph.node[1].name = "first", "first/Cast"
    scale, zero = np.array(0.5, np.float32), np.array(8, np.uint16)
    feeds = {"x": np.float32([-1, 0.3, 7, 90000]), "scale": scale, "zero": zero}
    converted = convert(model, 13, tmp_path / "m.onnx")
    names = [node.name for node in converted.graph.node]
    assert len(set(names)) == len(names)
    (result,) = onnxruntime.InferenceSession(converted.SerializeToString()).run(None, feeds)
    np.testing.assert_array_equal(result, np.float32([-1, 0.5, 7, (65535 - 8) / 2]))


def test_constants_of_4_bits(tmp_path: Path) -> None:
    model = parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]> g () => (float[2, 4] y)
    { y = DequantizeLinear <axis = 1, block_size = 2> (x, scale, zero) }""")
    x, zero = np.int8([[-8, 7, 3, -1], [0, 1, 2, 3]]), np.int8([[1, -2], [3, 0]])
    scale = np.float32([[0.5, 2], [1, 0.25]])
    make = onnx.helper.make_tensor
    model.graph.initializer.extend(
        [
            make("x", onnx.TensorProto.INT4, x.shape, x.ravel()),
            make("zero", onnx.TensorProto.INT4, zero.shape, zero.ravel()),
            onnx.numpy_helper.from_array(scale, "scale"),
        ]
    )
    expected = (x - zero.repeat(2, 1)) * scale.repeat(2, 1)
    for opset in (13, 20, 28):
        (result,) = infer(convert(model, opset, tmp_path / "m.onnx"), {})
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("x", "shape"),
    [((0, 5), (0, 7, 0)), ((2, 0), (0, 3)), ((2, 3), (3, -1)), ((2, 3), (3, 2)), ((1,), ())],
    ids=str,
)
def test_computed_shapes_with_zeros(
    x: tuple[int, ...], shape: tuple[int, ...], tmp_path: Path
) -> None:
    model = parser.parse_model("""<ir_version: 8, opset_import: ["" : 14]>
    g (float x, int64[n] shape) => (float y) { y = Reshape <allowzero = 1> (x, shape) }""")
    model.graph.input[0].type.tensor_type.ClearField("shape")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    feeds = {"x": np.arange(np.prod(x, dtype=int), dtype=np.float32).reshape(x)}
    converted = convert(model, 13, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(converted.SerializeToString())
    (result,) = session.run(None, {**feeds, "shape": np.array(shape, np.int64)})
    np.testing.assert_array_equal(result, feeds["x"].reshape(shape))


def test_what_bodies_of_schemas_get_wrong(tmp_path: Path) -> None:
    """A scale that is broadcast, and the logarithm of a sum of integers along computed axes."""
    model = parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
    g (float[2, 3, 4] x, float[3, 1] scale, int64[2, 3] n, int64[K] axes)
      => (float[2, 3, 4] y, float[2, 1, 1] mean, int64[2] z)
    { y, mean = LayerNormalization <axis = -2> (x, scale)
      z = ReduceLogSum <keepdims = 0> (n, axes) }""")
    random = np.random.default_rng(0)
    x, scale = (random.normal(size=s).astype(np.float32) + 9 for s in ((2, 3, 4), (3, 1)))
    feeds = {"x": x, "scale": scale, "n": np.array([[1, 2, 3], [20, 30, 40]]), "axes": [1]}
    proto = convert(model, 13, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    y, mean, z = session.run(None, feeds)
    apart = x - x.mean((1, 2), keepdims=True)
    expected = apart / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5) * scale
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(mean, x.mean((1, 2), keepdims=True), rtol=1e-6)
    np.testing.assert_array_equal(z, [1, 4])


def test_remainders_of_floats_have_the_sign_of_the_divisor(tmp_path: Path) -> None:
    model = parser.parse_model("""<ir_version: 10, opset_import: ["" : 28]>
    g (float[N] x, float[N] y) => (float[N] z) { z = Mod <fmod = 0> (x, y) }""")
    proto = convert(model, 20, tmp_path / "m.onnx")
    x = np.float32([5, -5, 5, -5, 6, 5.3, 0, 1, -1, np.nan])
    y = np.float32([3, 3, -3, -3, -3, -1.7, -2, np.inf, np.inf, 2])
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    (actual,) = session.run(None, {"x": x, "y": y})
    np.testing.assert_array_equal(actual, np.mod(x, y))


def test_images_are_sampled_far_away_and_nowhere(tmp_path: Path) -> None:
    """Coordinates that floats cannot add 1 to, and grids and batches without elements."""
    model = parser.parse_model("""<ir_version: 8, opset_import: ["" : 16]>
    g (float[N, C, H, W] x, float[N, P, Q, 2] grid) => (float[N, C, P, Q] y)
    { y = GridSample <padding_mode = "border"> (x, grid) }""")
    proto = convert(model, 13, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    x = np.float32([[1, 2], [3, 4]]).reshape(1, 1, 2, 2)
    grid = np.float32([[1e30, -1], [-1e30, 1], [np.inf, 0]]).reshape(1, 1, 3, 2)
    (y,) = session.run(None, {"x": x, "grid": grid})
    np.testing.assert_array_equal(y, np.float32([2, 3, 3]).reshape(1, 1, 1, 3))
    for shape, points in (
        ((0, 3, 2, 2), (0, 2, 1)),
        ((2, 0, 2, 2), (2, 2, 1)),
        ((1,) * 4, (1, 0, 2)),
    ):
        feeds = {"x": np.zeros(shape, np.float32), "grid": np.zeros((*points, 2), np.float32)}
        assert session.run(None, feeds)[0].shape == (*shape[:2], *points[1:])


def test_integers_are_quantized_by_a_float(tmp_path: Path) -> None:
    model = parser.parse_model("""<ir_version: 8, opset_import: ["" : 13]>
    g (int32[4] x, float scale) => (uint8[4] y) { y = QuantizeLinear (x, scale) }""")
    feeds = {"x": np.int32([0, 7, 100, 9000]), "scale": np.array(0.5, np.float32)}
    for opset in (13, 19, 21, 28):
        converted = convert(model, opset, tmp_path / "m.onnx")
        onnx.checker.check_model(converted, full_check=True)
        (result,) = infer(converted, feeds)
        np.testing.assert_array_equal(result, np.uint8([0, 14, 200, 255]))


def test_every_step_has_a_rule() -> None:
    """Or follows from the schemas; the one that does neither has the operator's body."""
    schemas = OnnxSchemas({})
    missing = []
    for op_type in {schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain}:
        for older, newer in pairwise(schemas.versions("", op_type)):
            steps = [("up", older, newer)] + [("down", newer, older)] * (newer.since > 13)
            missing += [
                (direction, op_type, newer.since)
                for direction, old, new in steps
                if not find_rule(direction, "", op_type, newer.since)
                and not is_derivable("", op_type, old, new)
            ]
    assert missing == [("down", "GroupNormalization", 21)]
    body = onnx.defs.get_schema("GroupNormalization", 21)
    assert body.has_context_dependent_function  # pyright: ignore[reportAttributeAccessIssue]
