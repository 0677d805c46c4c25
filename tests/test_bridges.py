"""Modules from graphs, graphs from modules, and where the weights are."""

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import hetu as ht
from hetu.errors import UnsupportedError, UsageError
from tests.interop import transformer

ATOL = 1e-5
"""What rounding leaves of gradients that are zero, as those of the keys' biases in attention."""


class TiedMlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6, bias=False), nn.Linear(6, 6)
        self.b.weight = self.a.weight
        self.drop = nn.Dropout(0.4)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.drop(torch.tanh(self.a(x))))


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.conv(x))).flatten(1))


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0])


def shaken(module: nn.Module) -> nn.Module:
    """The module with statistics and scales that differ from what is there by default."""
    generator = torch.Generator().manual_seed(2)
    for name, tensor in module.state_dict().items():
        if "norm" in name and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=generator)
    return module


NETS: dict[str, Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]] = {
    "mlp": lambda: (TiedMlp(), (torch.randn(3, 2, 6),)),
    "cnn": lambda: (shaken(Cnn()), (torch.randn(2, 2, 4, 4),)),
    "lstm": lambda: (Lstm(), (torch.randn(2, 4, 6),)),
    "bert": lambda: (transformer.bert()[0], tuple(transformer.bert()[1].values())),
}


@pytest.fixture(scope="module", params=[(n, d) for n in NETS for d in (False, True)], ids=str)
def case(request: Any) -> tuple[str, nn.Module, tuple[Tensor, ...], ht.onnx.LoadedModel]:
    name, dynamo = request.param
    torch.manual_seed(0)
    net, args = NETS[name]()
    return name, net, args, ht.onnx.from_module(net, args, dynamo=dynamo)


def gradients(module: nn.Module, args: tuple[Tensor, ...]) -> dict[str, np.ndarray]:
    module.zero_grad()
    module(*args).square().sum().backward()
    return {n: p.grad.numpy() for n, p in module.named_parameters() if p.grad is not None}


def assert_same_gradients(net: nn.Module, module: nn.Module, matches: Any, args: Any) -> None:
    expected, actual = gradients(net, args), gradients(module, args)
    for name, gradient in expected.items():
        mine = matches[name].to_torch(actual[matches[name].initializer])
        np.testing.assert_allclose(mine, gradient, rtol=1e-3, atol=ATOL)


def test_same_weights_and_gradients(case: Any) -> None:
    _, net, args, model = case
    matches = ht.onnx.match_weights(model, net)
    assert {match.relation for match in matches.values()} == {"same"}
    module = ht.onnx.to_module(model).eval()
    net.eval()
    torch.testing.assert_close(module(*args), net(*args), rtol=1e-4, atol=1e-5)
    assert_same_gradients(net, module, matches, args)


def test_compiles_in_one_graph(case: Any) -> None:
    _, _, args, model = case
    torch.compiler.reset()  # torch keeps eight variants of `forward`, those of all modules together
    for training in (False, True):
        module = ht.onnx.to_module(model).train(training)
        compiled = torch.compile(copy.deepcopy(module), fullgraph=True, backend="aot_eager")
        results = []
        for run in (module, compiled):
            torch.manual_seed(3)
            results.append((run(*args), gradients(run, args), dict(run.named_buffers())))
        torch.testing.assert_close(results[1][0], results[0][0])
        for name, gradient in results[0][1].items():
            np.testing.assert_allclose(results[1][1]["_orig_mod." + name], gradient, 1e-4, 1e-5)
        for name, buffer in results[0][2].items():
            torch.testing.assert_close(results[1][2]["_orig_mod." + name], buffer)


def test_what_optimizing_exporters_do_to_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = {}
    for name in ("mlp", "cnn", "lstm"):
        net, args = NETS[name]()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(net.eval(), args, tmp_path / "m.onnx", dynamo=False)
        model = ht.onnx.load_onnx(tmp_path / "m.onnx")
        matches = ht.onnx.match_weights(model, net)
        found |= {f"{name}.{n}": match.relation for n, match in matches.items()}
        if name != "cnn":
            assert_same_gradients(net, ht.onnx.to_module(model).eval(), matches, args)
            changed = {n: t + 1 for n, t in net.state_dict().items()}
            executor = ht.Executor(list(model.outputs.values()))
            executor.load_dict(matches.to_onnx(changed))
            net.load_state_dict(changed)
            (y,) = executor.run(feed_dict=dict(zip(model.inputs, args, strict=True)))
            np.testing.assert_allclose(y.asnumpy(), net(*args).detach(), rtol=1e-4, atol=1e-5)
    assert found["mlp.a.weight"] == found["mlp.b.weight"] == "transposed"
    assert {found[f"cnn.{n}"] for n in ("conv.weight", "conv.bias", "norm.weight")} == {"folded"}
    assert found["cnn.norm.running_var"] == "folded" and found["cnn.head.weight"] == "same"
    assert found["lstm.lstm.weight_ih_l0"] == "permuted"
    assert found["lstm.lstm.bias_hh_l0"] == "part"


@pytest.mark.parametrize("dynamo", [False, True], ids=["script", "dynamo"])
def test_a_tied_weight_that_is_written_twice(dynamo: bool, tmp_path: Path) -> None:
    """Its gradient is the sum over the copies, and new values go into all of them."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.out = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
            self.out.weight = self.into.weight

        def forward(self, ids: Tensor) -> Tensor:
            return self.out(torch.tanh(self.into(ids)))

    torch.manual_seed(0)
    net, ids = Tied(), torch.tensor([[1, 2, 6], [0, 2, 3]])
    torch.onnx.export(net, (ids,), tmp_path / "m.onnx", dynamo=dynamo, verbose=False)
    model = ht.onnx.load_onnx(tmp_path / "m.onnx")
    matches = ht.onnx.match_weights(model, net)
    match = matches["into.weight"]
    assert match.view is not None and len(match.copies) == 1 and not matches.unmatched
    found = matches.gradients(gradients(ht.onnx.to_module(model), (ids,)))
    expected = gradients(net, (ids,))["into.weight"]
    np.testing.assert_allclose(found["into.weight"], expected, rtol=1e-3, atol=ATOL)
    with torch.no_grad():
        net.into.weight.mul_(2)
    executor = ht.Executor(list(model.outputs.values()))
    executor.load_dict(matches.to_onnx(net))
    (y,) = executor.run(feed_dict={next(iter(model.inputs)): ids})
    np.testing.assert_allclose(y.asnumpy(), net(ids).detach(), rtol=1e-4, atol=1e-5)


def test_ambiguous_and_missing_weights_are_told() -> None:
    model = load("g (float[2] x) => (float[2] y) <float[2] a = {1, 1}, float[2] b = {1, 1}>"
                 " { z = Add(x, a) y = Add(z, b) }")  # fmt: skip
    matches = ht.onnx.match_weights(model, {"u": np.ones(2, "f4"), "v": np.zeros(2, "f4")})
    assert [matches[n].relation for n in "uv"] == ["ambiguous", "missing"]
    assert matches.unmatched == ["a", "b"]
    with pytest.raises(UsageError, match="'v' is missing"):
        matches["v"].to_torch(np.zeros(2))


def test_the_exported_module_stays_as_it_is() -> None:
    net = Cnn().train()
    net.norm.eval()
    before = copy.deepcopy(net.state_dict())
    ht.onnx.from_module(net, torch.randn(2, 2, 4, 4), dynamo=False)
    assert net.training and not net.norm.training
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("dynamo", [False, True])
def test_dropout_survives_and_is_off_in_files(dynamo: bool) -> None:
    torch.manual_seed(0)
    net, (x,) = NETS["mlp"]()
    model = ht.onnx.from_module(net, x, dynamo=dynamo)
    module = ht.onnx.to_module(model)
    assert not torch.equal(module(x), module(x))
    session = onnxruntime.InferenceSession(ht.onnx.to_proto(model).SerializeToString())
    (y,) = session.run(None, {"x": x.numpy()})
    np.testing.assert_allclose(y, net.eval()(x).detach(), rtol=1e-4, atol=1e-5)


def test_what_torch_cannot_export() -> None:
    class Bad(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.eig(x)[1].real

    with pytest.raises(UnsupportedError, match="torch cannot export Bad"):
        ht.onnx.from_module(Bad(), torch.randn(3, 3), dynamo=False)


# Modules ----------------------------------------------------------------------------------------


def load(text: str, **options: Any) -> ht.onnx.LoadedModel:
    header = '<ir_version: 10, opset_import: ["" : 20]> '
    return ht.onnx.load_onnx(onnx.parser.parse_model(header + text), **options)


def odd_names() -> ht.onnx.LoadedModel:
    """Names that `register_parameter` refuses, a shared weight and a method of Module."""
    names = ["a", "a.b", "a..c", ".d", "e.", "forward", "half.x", "x/y:0", "training"]
    node = onnx.helper.make_node
    nodes = [node("Add", ["x", "a"], ["h0"])]
    nodes += [node("Mul", [f"h{i}", n], [f"h{i + 1}"]) for i, n in enumerate([*names, "a"])]
    info = [onnx.helper.make_tensor_value_info(n, 1, [3]) for n in ("x", f"h{len(names) + 1}")]
    values = np.linspace(0.5, 1.5, 3 * len(names), dtype=np.float32).reshape(-1, 3)
    tensors = [onnx.numpy_helper.from_array(v, n) for n, v in zip(names, values, strict=True)]
    graph = onnx.helper.make_graph(nodes, "g", info[:1], info[1:], tensors)
    return ht.onnx.load_onnx(onnx.helper.make_model(graph, ir_version=10))


def test_state_dict_has_the_names_of_the_file() -> None:
    model = odd_names()
    module, other = ht.onnx.to_module(model), ht.onnx.to_module(model)
    assert set(module.state_dict()) == set(model.variables)
    named = {name for name, _ in module.named_parameters()}
    assert named == {name.removeprefix(".") for name in model.variables}  # torch drops that dot
    other.load_state_dict({n: t + 1 for n, t in module.state_dict().items()}, strict=True)
    x = torch.ones(3)
    assert not torch.equal(other(x), module(x))
    module.load_state_dict(other.state_dict(), strict=True)
    torch.testing.assert_close(module(x), other(x))
    proto = ht.onnx.to_proto(module)
    for tensor in proto.graph.initializer:
        np.testing.assert_array_equal(
            onnx.numpy_helper.to_array(tensor), module.state_dict()[tensor.name]
        )
    with pytest.raises(RuntimeError, match="Missing key"):
        module.load_state_dict({}, strict=True)


LINEAR = """g (float[N, 2] x, float[N, 2] z) => (float[N, 2] y, float[N, 2] s)
<float[2, 2] w = {1, 2, 3, 4}, float[2] b = {5, 6}> 
{ h = MatMul(x, w) y = Add(h, b) s = Sub(y, z) }"""


def test_inputs_by_order_and_name() -> None:
    module = ht.onnx.to_module(load(LINEAR))
    x, z = torch.ones(1, 2), torch.zeros(1, 2)
    y, s = module(x, z=z)
    torch.testing.assert_close(y, torch.tensor([[9.0, 12.0]]))
    torch.testing.assert_close(s, y)
    for args, kwargs, message in [
        ((x,), {}, "'z' .* is missing"),
        ((x, z, z), {}, "3 inputs; the module takes 2"),
        ((x,), {"x": x, "z": z}, "'x' is given twice"),
        ((x, z), {"q": x}, "'q' is no input of the module"),
        ((x.int(), z), {}, "expected float32"),
        ((x[0], z), {}, "expected float32"),
    ]:
        with pytest.raises(UsageError, match=message):
            module(*args, **kwargs)


def test_a_changed_graph_and_an_executors_values() -> None:
    model = load(LINEAR)
    y = model.outputs["y"]
    module = ht.onnx.to_module(model, inputs=model.inputs["x"], outputs=ht.relu_op(y) * 2.0)
    torch.testing.assert_close(module(torch.ones(1, 2)), torch.tensor([[18.0, 24.0]]))
    executor = ht.Executor([y])
    executor.load_dict({"b": np.float32([0, 0])})
    module = ht.onnx.to_module(executor, model.inputs["x"], y)
    torch.testing.assert_close(module(torch.ones(1, 2)), torch.tensor([[4.0, 6.0]]))
    with pytest.raises(UsageError, match="'z', which is not among the inputs"):
        ht.onnx.to_module(model, inputs=model.inputs["x"])


def test_gradients_follow_torch() -> None:
    module = ht.onnx.to_module(load(LINEAR))
    x, z = torch.ones(1, 2, requires_grad=True), torch.zeros(1, 2)
    with torch.no_grad():
        assert not module(x, z)[0].requires_grad
    module.get_parameter("b").requires_grad_(False)
    module(x, z)[0].sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[3.0, 7.0]]))
    assert module.get_parameter("b").grad is None
    torch.testing.assert_close(module.get_parameter("w").grad, torch.ones(2, 2))


def test_copies_devices_and_types() -> None:
    model = load(LINEAR)
    module = ht.onnx.to_module(model)
    x = torch.ones(1, 2)
    before = module(x, x)[0]
    twin = copy.deepcopy(module)
    with torch.no_grad():
        twin.get_parameter("b").zero_()
    torch.testing.assert_close(module(x, x)[0], before)
    assert not torch.equal(twin(x, x)[0], before)
    assert twin.double()(x.double(), x.double())[0].dtype == torch.float64
    assert copy.deepcopy(module).to("meta")(x, x)[0].is_meta
    with pytest.raises(UsageError, match="state_dict"):
        pickle.dumps(module)


def test_running_statistics_follow_the_mode() -> None:
    model = load("""g (float[4, 2] x) => (float[4, 2] y)
    <float[2] s = {1, 1}, float[2] b = {0, 0}, float[2] m = {0, 0}, float[2] v = {1, 1}>
    { y = BatchNormalization <momentum = 0.5> (x, s, b, m, v) }""")
    module = ht.onnx.to_module(model)
    x = torch.randn(4, 2) + 3
    module.eval()(x)
    torch.testing.assert_close(module.get_buffer("m"), torch.zeros(2))
    module.train()(x)
    torch.testing.assert_close(module.get_buffer("m"), 0.5 * x.mean(0))
    tensors = ht.onnx.to_proto(module).graph.initializer
    exported = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in tensors}
    np.testing.assert_array_equal(exported["m"], module.get_buffer("m"))


def test_tables_have_dense_gradients() -> None:
    table = ht.Variable(name="table", value=np.eye(3))
    ids = ht.Variable(name="ids", dtype=np.int64)
    rows = ht.embedding_lookup_op(table, ids)
    module = ht.onnx.to_module(ht.Executor([rows]), ids, rows)
    module(torch.tensor([1, 1, 7])).sum().backward()
    expected = torch.tensor([[0.0] * 3, [2.0] * 3, [0.0] * 3])
    torch.testing.assert_close(module.get_parameter("table").grad, expected)
    torch.optim.Adam(module.parameters()).step()


def test_proto_bytes_and_file_objects(tmp_path: Path) -> None:
    model = load(LINEAR)
    proto = ht.onnx.to_proto(model)
    assert proto == ht.onnx.to_proto(ht.onnx.to_module(model))
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    with path.open("rb") as file:
        for source in (proto, path, path.read_bytes(), file):
            assert ht.onnx.to_proto(ht.onnx.load_onnx(source)) == proto
