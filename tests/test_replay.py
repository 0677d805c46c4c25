"""Nodes that run as one recorded sequence: ONNX Runtime's results in every run."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import hetu as ht
from hetu import onednn
from hetu.onednn.watching import recorded
from hetu.ops import scaled_attention

pytestmark = pytest.mark.skipif(not onednn.is_available(), reason="oneDNN's library is not there")

RUNS = 6


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def graph_of(nodes: str, outputs: list[str], **weights: np.ndarray) -> onnx.ModelProto:
    """A model of `x`; each line of `nodes` is "result = operator inputs", with attributes after."""
    made = []
    for line in filter(str.strip, nodes.splitlines()):
        result, _, call = line.strip().partition(" = ")
        call, _, attributes = call.partition(" ! ")
        op_type, *inputs = call.split()
        given = eval(f"dict({attributes})", {})
        made.append(helper.make_node(op_type, inputs, result.split(), **given))
    graph = helper.make_graph(
        made, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


NETWORK = graph_of(
    """
    a = Conv x w1 ! pads=[1, 1, 1, 1]
    b = Relu a
    c = MaxPool b ! kernel_shape=[2, 2], strides=[2, 2]
    d = Conv c w2 b2 ! pads=[1, 1, 1, 1]
    e = Add d c
    f = Relu e
    g = Conv f w3 ! pads=[0, 0, 1, 1], strides=[2, 2]
    h = GlobalAveragePool g
    i = Reshape h shape
    y = Gemm i w4 b4 ! transB=1
    """,
    ["y", "f"],
    w1=random(8, 3, 3, 3), w2=random(8, 8, 3, 3) / 8, b2=random(8), w3=random(16, 8, 3, 3) / 8,
    w4=random(5, 16), b4=random(5), shape=np.int64([-1, 16]),
)  # fmt: skip


class Pair:
    """A model in hetu and in ONNX Runtime."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.proto = proto
        self.model = ht.onnx.load_onnx(proto)
        self.executor = ht.Executor(list(self.model.outputs.values()))

    def run(self, x: np.ndarray) -> list[np.ndarray]:
        return self.executor.run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True)

    def check(self, x: np.ndarray) -> None:
        session = onnxruntime.InferenceSession(self.proto.SerializeToString())
        for actual, wanted in zip(self.run(x), session.run(None, {"x": x}), strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4)

    def check_sequences(self, x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
        """What ONNX Runtime computes, by sequences alone."""
        records, record = [], onednn.Replay._recorded

        def recorded(replay: onednn.Replay, inputs: tuple[torch.Tensor, ...]) -> object:
            records.append(record(replay, inputs))
            return records[-1]

        monkeypatch.setattr(onednn.Replay, "_recorded", recorded)
        for seed in range(RUNS):
            self.check(x + seed)
        assert len(records) == self.replays == 1 and records[0] is not None

    @property
    def replays(self) -> int:
        return sum(note.fusion == "replay" for note in self.executor.explain())


def test_every_run_has_its_own_data() -> None:
    pair = Pair(NETWORK)
    for seed in range(RUNS):
        pair.check(random(2, 3, 10, 10, seed=seed))
    assert pair.replays == 1


def test_results_stay_as_they_are() -> None:
    pair = Pair(NETWORK)
    results = [pair.run(random(1, 3, 8, 8, seed=seed)) for seed in range(RUNS)]
    again = Pair(NETWORK)
    for seed, before in enumerate(results):
        for one, other in zip(before, again.run(random(1, 3, 8, 8, seed=seed)), strict=True):
            np.testing.assert_array_equal(one, other)


def test_shapes_take_turns() -> None:
    pair = Pair(NETWORK)
    for seed in range(RUNS):
        for shape in ((1, 3, 8, 8), (3, 3, 8, 8), (1, 3, 12, 9)):
            pair.check(random(*shape, seed=seed))


def test_weights_that_change() -> None:
    pair = Pair(NETWORK)
    weights = {name: array for name, array in pair.executor.state_dict().items()}
    for seed in range(RUNS):
        changed = {name: array * (1 + seed / 8) for name, array in weights.items()}
        pair.executor.load_dict(changed)
        for initializer in pair.proto.graph.initializer:
            if initializer.name in changed:
                initializer.CopyFrom(
                    numpy_helper.from_array(changed[initializer.name], initializer.name)
                )
        for _ in range(2):
            pair.check(random(2, 3, 8, 8, seed=seed))


def test_several_threads() -> None:
    pair = Pair(NETWORK)
    wanted = [Pair(NETWORK).run(random(1, 3, 8, 8, seed=seed)) for seed in range(8)]
    for seed in range(RUNS):
        pair.run(random(1, 3, 8, 8, seed=seed))

    def compute(seed: int) -> bool:
        x = random(1, 3, 8, 8, seed=seed)
        return all(
            np.array_equal(one, other)
            for _ in range(50)
            for one, other in zip(pair.run(x), wanted[seed], strict=True)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(compute, range(8)))


def test_another_number_of_threads() -> None:
    pair, before = Pair(NETWORK), torch.get_num_threads()
    try:
        for threads in (before, 1, 3, before):
            torch.set_num_threads(threads)
            for seed in range(RUNS):
                pair.check(random(2, 3, 8, 8, seed=seed))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ("a = Gemm x w\nb = Gemm a w\ny = Gemm b v", ["y", "a"]),
        ("a = MatMul x w\nb = Tanh a\nc = MatMul b w\ny = Softmax c\nz = MatMul y v", ["z"]),
        ("a = MatMul x w\nb = MatMul a w\ny = Transpose b\nz = MatMul b v", ["y", "z", "a"]),
        ("a = MatMul x w\nb = MatMul x w\nc = MatMul a v\nd = MatMul b v\ny = Sub c d", ["y", "b"]),
        ("y = MatMul x w\nz = MatMul x v", ["y", "z"]),
    ],
)
def test_products(nodes: str, outputs: list[str]) -> None:
    """Weights may be shared, results used again and be results of the graph."""
    pair = Pair(graph_of(nodes, outputs, w=random(12, 12) / 4, v=random(12, 5)))
    for seed in range(RUNS):
        pair.check(random(3, 12, seed=seed))


def test_equal_images_and_others() -> None:
    """A single image is, with one channel, in both orders at once."""
    nodes = "a = Conv x w ! pads=[1, 1, 1, 1]\nb = Relu a\ny = Conv b v ! pads=[1, 1, 1, 1]"
    pair = Pair(graph_of(nodes, ["y"], w=random(4, 1, 3, 3), v=random(1, 4, 3, 3)))
    for seed in range(RUNS):
        pair.check(random(1, 1, 6, 7, seed=seed))
        pair.check(random(2, 1, 1, 1, seed=seed))


@pytest.mark.parametrize("bias", ["", "b"])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 12), (2, 3, 4, 3)])
def test_rows_that_are_put_together_for_a_product(
    shape: tuple[int, ...], turned: bool, bias: str
) -> None:
    """As exporters write layers on sequences; residuals are added, and activations follow."""
    nodes = f"""
    r = Reshape x rows
    g = Gemm r {"t" if turned else "w"} {bias} ! transB={int(turned)}
    y = Reshape g apart
    h = Relu y
    s = Reshape h again
    k = Gemm s v
    u = Reshape k apart
    z = Add u y
    """
    w = random(12, 8) / 4
    given = {"w": w, "t": np.ascontiguousarray(w.T), "b": random(8), "v": random(8, 8)}
    shapes = {"rows": [-1, 12], "apart": [2, 3, 8], "again": [6, 8]}
    pair = Pair(graph_of(nodes, ["z"], **given, **{n: np.int64(s) for n, s in shapes.items()}))
    for seed in range(RUNS):
        pair.check(random(*shape, seed=seed))
    notes = [note.fusion for note in pair.executor.explain() if not note.reason]
    assert notes.count("flattened") == 2 and "linear plus" in notes


@pytest.mark.parametrize("view", ["Unsqueeze x first", "Unsqueeze x second", "Squeeze x third"])
def test_views_of_what_is_computed_elsewhere(view: str) -> None:
    """They are no part of the sequence beside them, which runs as one all the same."""
    nodes = f"u = {view}\na = MatMul x w\nb = MatMul a w\ny = Tanh u"
    axes = {"first": np.int64([1]), "second": np.int64([-1]), "third": np.int64([2])}
    pair = Pair(graph_of(nodes, ["y", "b"], w=random(1, 1), **axes))
    for seed in range(RUNS):
        pair.check(random(2, 3, 1, seed=seed))
    (body,) = (part for part in pair.executor.source().split("\n\n") if "def body" in part)
    assert pair.replays == 1 and "squeeze" not in body


RECORDED = {
    "Add": "Add c other", "Sub": "Sub other c", "Mul": "Mul c channels", "Celu": "Celu c",
    "Concat": "Concat c a c ! axis=1", "Elu": "Elu c ! alpha=0.7", "HardSigmoid": "HardSigmoid c",
    "HardSwish": "HardSwish c", "LeakyRelu": "LeakyRelu c ! alpha=0.3", "Relu": "Relu c",
    "Selu": "Selu c", "Sigmoid": "Sigmoid c", "Softplus": "Softplus c", "Tanh": "Tanh c",
    "Neg": "Neg c", "Erf": "Erf c", "Exp": "Exp c", "Sqrt": "Sqrt p", "Reciprocal": "Reciprocal p",
    "Div": "Div c p", "Softmax": "Softmax c ! axis=-1", "Softmax of channels": "Softmax c ! axis=1",
    "two numbers": "Mul c number", "two images": "Mul c a", "the same twice": "Add c c",
}  # fmt: skip


@pytest.mark.parametrize("call", RECORDED.values(), ids=RECORDED)
@pytest.mark.parametrize("sizes", [(6, 7), (1, 1), (3, 4, 5)])
def test_functions_of_torch_between_primitives(
    call: str, sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool keeps what follows it out of the first convolution."""
    ones = (1,) * len(sizes)
    nodes = f"""
    a = Conv x w
    c = MaxPool a ! kernel_shape={[*ones]}
    s = Mul c c
    p = Add s one
    d = {call}
    y = Conv d {"v3" if "Concat" in call else "v"}
    """
    weights = {
        "w": random(8, 3, *ones), "v": random(5, 8, *ones), "v3": random(5, 24, *ones),
        "other": random(2, 8, *sizes), "channels": random(8, *ones),
        "number": random(1).reshape(()), "one": np.ones(1, np.float32),
    }  # fmt: skip
    used = {name: weight for name, weight in weights.items() if name in nodes.split()}
    pair = Pair(graph_of(nodes, ["y"], **used))
    pair.check_sequences(random(2, 3, *sizes), monkeypatch)


NETWORKS = {
    "squeeze and excitation": """
        a = Conv x w1 ! pads=[1, 1, 1, 1]
        b = Relu a
        c = GlobalAveragePool b
        d = Conv c down
        e = Relu d
        f = Conv e up
        g = Sigmoid f
        h = Mul b g
        y = Conv h w2
        """,
    "dense blocks": """
        a = Conv x w1 ! pads=[1, 1, 1, 1]
        b = BatchNormalization a scale shift mean var
        c = Relu b
        d = Conv c w2 ! pads=[1, 1, 1, 1]
        e = Concat a d ! axis=1
        f = BatchNormalization e scale2 shift2 mean2 var2
        g = Elu f
        h = Conv g w3 ! pads=[1, 1, 1, 1]
        i = Concat e h ! axis=1
        y = AveragePool i ! kernel_shape=[2, 2]
        """,
}
PARAMETERS = "scale", "shift", "mean", "var"


@pytest.mark.parametrize("nodes", NETWORKS.values(), ids=NETWORKS)
def test_networks(nodes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {
        "w1": random(8, 3, 3, 3), "w2": random(8, 8, 3, 3), "w3": random(4, 16, 3, 3),
        "down": random(2, 8, 1, 1), "up": random(8, 2, 1, 1),
    }  # fmt: skip
    weights |= {name: random(8, seed=i) ** 2 + 0.5 for i, name in enumerate(PARAMETERS)}
    weights |= {f"{name}2": random(16, seed=i) ** 2 + 0.5 for i, name in enumerate(PARAMETERS)}
    used = {name: weight for name, weight in weights.items() if name in nodes.split()}
    Pair(graph_of(nodes, ["y"], **used)).check_sequences(random(2, 3, 8, 8), monkeypatch)


ATTENTION = {
    "plain": "p = Softmax g ! axis=-1",
    "masked": "m = Add g mask\np = Softmax m ! axis=-1",
    "causal": "m = Add g triangle\np = Softmax m ! axis=-1",
    "masked twice": "l = Add g slope\nm = Add l mask\np = Softmax m ! axis=-1",
    "bounded": "l = Tanh g\nm = Mul l factor\np = Softmax m ! axis=-1",
}
NORMS = {
    "layer": "{y} = LayerNormalization {x} scale shift",
    "rms": """{y}2 = Mul {x} {x}
        {y}m = ReduceMean {y}2 ! axes=[-1]
        {y}c = Constant ! value_float=1e-5
        {y}e = Add {y}m {y}c
        {y}r = Sqrt {y}e
        {y}d = Div {x} {y}r
        {y} = Mul {y}d scale""",
}


def test_what_is_measured_meanwhile_is_not_recorded() -> None:
    scaled_attention.suits_library.cache_clear()
    with recorded() as recording:
        scaled_attention.suits_library(False)
        assert scaled_attention.suits_library.cache_info().misses == 1
    assert recording.is_whole and not recording.runs and not recording.buffers


HEADS, SIZE = 4, 24


@pytest.mark.parametrize("in_library", [True, False])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("length", [5, 70])
def test_layers_of_transformers(
    attention: str, norm: str, length: int, in_library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a layer is one sequence; parts and other views of what it makes are where they are."""
    monkeypatch.setattr(scaled_attention, "suits_library", lambda _: in_library)
    nodes = f"""
    {NORMS[norm].format(y="n", x="x")}
    h = MatMul n wide
    b = Add h bias
    q k v = Split b ! axis=-1
    q4 = Reshape q apart
    k4 = Reshape k apart
    v4 = Reshape v apart
    qt = Transpose q4 ! perm=[0, 2, 1, 3]
    kt = Transpose k4 ! perm=[0, 2, 3, 1]
    vt = Transpose v4 ! perm=[0, 2, 1, 3]
    s = MatMul qt kt
    g = Mul s factor
    {ATTENTION[attention]}
    a = MatMul p vt
    at = Transpose a ! perm=[0, 2, 1, 3]
    ar = Reshape at together
    o = MatMul ar out
    r = Add o x
    {NORMS[norm].format(y="z", x="r")}
    u = MatMul z up
    t = Tanh u
    d = MatMul t down
    y = Add d r
    """
    weights = {
        "wide": random(SIZE, 3 * SIZE) / 4, "bias": random(3 * SIZE), "out": random(SIZE, SIZE) / 4,
        "up": random(SIZE, 2 * SIZE) / 4, "down": random(2 * SIZE, SIZE) / 4,
        "scale": random(SIZE), "shift": random(SIZE, seed=1), "factor": random(1, seed=2),
        "mask": random(1, 1, 1, length),
        "slope": random(1, HEADS, length, length),
        "triangle": np.triu(np.full((length, length), -np.inf, np.float32), 1),
        "apart": np.int64([0, 0, HEADS, SIZE // HEADS]), "together": np.int64([0, 0, SIZE]),
    }  # fmt: skip
    used = {name: weight for name, weight in weights.items() if name in nodes.split()}
    Pair(graph_of(nodes, ["y"], **used)).check_sequences(random(2, length, SIZE), monkeypatch)


@pytest.mark.parametrize("in_library", [True, False])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("length", [5, 70])
def test_heads_that_share_keys_and_values(
    length: int, count: int, in_library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for all queries, as the product repeats it, or some that the model repeats."""
    monkeypatch.setattr(scaled_attention, "suits_library", lambda _: in_library)
    repeat = """
    {0}s = Unsqueeze {0} second
    {0}e = Expand {0}s repeated
    {0}r = Reshape {0}e heads
    """
    keys, values = ("k", "v") if count == 1 else ("kr", "vr")
    nodes = f"""
    q3 = MatMul x wq
    q4 = Reshape q3 apart
    q = Transpose q4 ! perm=[0, 2, 1, 3]
    k3 = MatMul x wk
    k4 = Reshape k3 shared
    k = Transpose k4 ! perm=[0, 2, 1, 3]
    v3 = MatMul x wv
    v4 = Reshape v3 shared
    v = Transpose v4 ! perm=[0, 2, 1, 3]
    {repeat.format("k") + repeat.format("v") if count > 1 else ""}
    t = Transpose {keys} ! perm=[0, 1, 3, 2]
    s = MatMul q t
    p = Softmax s ! axis=-1
    a = MatMul p {values}
    at = Transpose a ! perm=[0, 2, 1, 3]
    ar = Reshape at together
    y = MatMul ar wo
    """
    size, groups = SIZE // HEADS, HEADS // count
    weights = {
        "wq": random(SIZE, SIZE) / 4, "wk": random(SIZE, count * size) / 4,
        "wv": random(SIZE, count * size, seed=1) / 4, "wo": random(SIZE, SIZE) / 4,
        "apart": np.int64([0, 0, HEADS, size]), "shared": np.int64([0, 0, count, size]),
        "second": np.int64([2]), "repeated": np.int64([2, count, groups, length, size]),
        "heads": np.int64([2, HEADS, length, size]), "together": np.int64([0, 0, SIZE]),
    }  # fmt: skip
    used = {name: weight for name, weight in weights.items() if name in nodes.split()}
    pair = Pair(graph_of(nodes, ["y"], **used))
    pair.check_sequences(random(2, length, SIZE), monkeypatch)
    assert [n.fusion for n in pair.executor.explain() if not n.reason].count("attention") == 1


def test_parts_are_results() -> None:
    """They lie in memory that is made for them in each run."""
    nodes = """
    h = MatMul x w
    a b = Split h ! axis=-1
    c = MatMul a v
    d = Transpose b ! perm=[1, 0]
    e = Slice d first last
    y = MatMul c v
    """
    weights = {"w": random(6, 8), "v": random(4, 4), "first": np.int64([1]), "last": np.int64([3])}
    pair = Pair(graph_of(nodes, ["b", "y", "e"], **weights))
    results = [pair.run(random(5, 6, seed=seed)) for seed in range(RUNS)]
    for seed, before in enumerate(results):
        for one, other in zip(before, pair.run(random(5, 6, seed=seed)), strict=True):
            np.testing.assert_array_equal(one, other)
    pair.check(random(5, 6))


def test_what_has_nothing_to_do_with_a_sequence_comes_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = """
    a = MatMul x w
    p = CumSum x axis
    q = Ceil p
    b = MatMul a w
    c = Add b q
    y = MatMul c w
    """
    weights = {"w": random(6, 6) / 4, "axis": np.int64(1)}
    Pair(graph_of(nodes, ["y"], **weights)).check_sequences(random(5, 6), monkeypatch)


def test_one_weight_twice_and_then_two() -> None:
    """A sequence that was recorded with one tensor for two weights is not run on two tensors."""
    bodies: list[object] = []
    x, w, v = (torch.from_numpy(random(n, 3, seed=n)) for n in (2, 3, 3))
    v = v + 1
    packed = [onednn.pack_linear(weight, 2) for weight in (w, v)]

    def body(x: torch.Tensor, *weights: torch.Tensor) -> tuple[torch.Tensor]:
        bodies.append(weights)
        return (onednn.linear(onednn.linear(x, weights[0]), weights[1]),)

    replay = onednn.Replay(body, 1)
    for one, other in ((0, 0), (0, 0), (0, 1), (1, 0), (1, 1)):
        (y,) = replay(x, packed[one], packed[other])
        torch.testing.assert_close(y, x @ (w, v)[one].T @ (w, v)[other].T)
    assert len(bodies) < 5


def test_results_of_functions_of_torch_are_results() -> None:
    """They stay as they are, and what they are made from goes."""
    nodes = "a = Conv x w\nb = Softmax a\nc = Conv b v\nd = Mul c c\nz = Conv d v"
    pair = Pair(graph_of(nodes, ["z", "d"], w=random(4, 3, 1, 1), v=random(4, 4, 1, 1)))
    results = [pair.run(random(1, 3, 4, 4, seed=seed)) for seed in range(RUNS)]
    for seed, before in enumerate(results):
        for one, other in zip(before, pair.run(random(1, 3, 4, 4, seed=seed)), strict=True):
            np.testing.assert_array_equal(one, other)
        pair.check(random(1, 3, 4, 4, seed=seed))


@pytest.mark.parametrize("call", ["Add c other", "Concat c other ! axis=1"])
def test_what_torch_refuses_names_the_node(call: str) -> None:
    nodes = f"a = Conv x w\nc = MaxPool a ! kernel_shape=[1, 1]\nd = {call}\ny = Conv d v"
    weights = {"w": random(8, 3, 1, 1), "v": random(5, 8, 1, 1), "other": random(2, 8, 3, 4)}
    with pytest.raises(ht.errors.RunError, match=call.split()[0]):
        Pair(graph_of(nodes, ["y"], **weights)).run(random(2, 3, 6, 6))


FORMS = {
    "channels of images": lambda x: x[:, 1:4],
    "pixels": lambda x: x[:, :3, 1::2, 2:8],
    "channels side by side": lambda x: x[:, :3].contiguous(memory_format=torch.channels_last),
    "other axes": lambda x: x[:, :3].permute(0, 1, 3, 2),
    "one pixel": lambda x: x[:, :3, :1, :1].expand(-1, -1, 5, 5),
    "overlapping": lambda x: x.as_strided((2, 3, 4, 4), (40, 5, 2, 1)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_images_in_any_order_in_memory(form: Callable[[torch.Tensor], torch.Tensor]) -> None:
    nodes = "a = Conv x w\ny = Conv a v"
    pair = Pair(graph_of(nodes, ["y"], w=random(8, 3, 1, 1), v=random(4, 8, 1, 1)))
    session = onnxruntime.InferenceSession(pair.proto.SerializeToString())
    for seed in range(RUNS):
        x = form(torch.from_numpy(random(2, 5, 9, 9, seed=seed)))
        (y,) = pair.executor.run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True)
        (wanted,) = session.run(None, {"x": x.contiguous().numpy()})
        np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)
