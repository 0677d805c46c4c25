"""Generated inputs are ones that the model takes, and use the range that it gives."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from hetu.onnx import verify
from hetu.onnx.verification.generate import generate, tensor_dims
from hetu.onnx.verification.outline import Outline
from hetu.onnx.verification.sizes import evaluate, first_guess, symbols
from tests.test_verify import model
from tests.test_versions import options


def feeds_for(proto: onnx.ModelProto, seed: int = 0, **sizes: int) -> dict[str, Any]:
    """Generated feeds, which ONNX Runtime takes."""

    def no_external(*_: Any) -> Any:
        raise AssertionError("the model has no external data")

    outline = Outline(proto, no_external)
    dims = tensor_dims(outline.model, {})
    feeds = generate(outline, dims, first_guess(dims.values(), sizes), {}, seed)
    onnxruntime.InferenceSession(proto.SerializeToString(), options()).run(None, feeds)
    return feeds


EMBEDDING = "<float[5, 2] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, int64 one = {1}, int64 three = {3}>"

MODELS = {
    "ids": f"g (int64[N] i) => (float[N, 2] y) {EMBEDDING} {{ y = Gather (w, i) }}",
    "ids of int32, shifted": f"""g (int32[N] i) => (float[N, 2] y) {EMBEDDING} {{
        c = Cast <to: int = 7> (i)
        d = Sub (c, three)
        s = Reshape (d, m)
        y = Gather (w, s)
        m = Constant <value: tensor = int64[1] {{-1}}> ()
    }}""",
    "ids as floats": f"""g (float[N] i) => (float[N, 2] y) {EMBEDDING} {{
        c = Cast <to: int = 7> (i)
        y = Gather (w, c)
    }}""",
    "ids in a branch": f"""g (bool c, int64[N] i) => (float[N, 2] y) {EMBEDDING} {{
        y = If (c) <then_branch = t () => (float[N, 2] a) {{ a = Gather (w, i) }},
                    else_branch = e () => (float[N, 2] b) {{ b = Gather (w, i) }}>
    }}""",
    "detection": """g (float[1, N, 4] boxes, float[1, 3, N] scores, int64 count, int64[1] k)
        => (int64[M, 3] kept, float[1, 3, K] best, float[1, K, 4] chosen) <float t = {0.1}> {
        kept = NonMaxSuppression (boxes, scores, count, t)
        best, order = TopK (scores, k)
        z = Constant <value: tensor = int64 {0}> ()
        first = Gather <axis = 1> (order, z)
        r = Squeeze (first, o)
        o = Constant <value: tensor = int64[1] {0}> ()
        chosen = Gather <axis = 1> (boxes, r)
    }""",
    "lengths": """g (float[T, N, 2] x, int32[N] lengths, float[1, 8, 2] w, float[1, 8, 2] r)
        => (float[T, 1, N, 2] y) {
        e = Constant <value: tensor = float {0}> ()
        y = LSTM <hidden_size = 2> (x, w, r, , lengths)
    }""",
    "shapes": """g (float[N, 6] x, int64[3] s, int64[1] a, int64[1] b, int64[3] t)
        => (float[K, L, M] y, float[I, J] z, float[P, Q, R] u) {
        y = Reshape (x, s)
        z = Slice (x, a, b)
        u = Tile (y, t)
    }""",
    "control": """g (bool c, int64 n, bool go, float[N] x) => (float[N] y, float[N] z) {
        y = If (c) <then_branch = p () => (float[N] a) { a = Neg (x) },
                    else_branch = q () => (float[N] b) { b = Exp (x) }>
        z = Loop (n, go, x) <body = r (int64 i, bool d, float[N] v) => (bool e, float[N] w) {
            e = Identity (d)
            w = Add (v, v)
        }>
    }""",
    "axes, pads and splits": """g (float[N, 6] x, int64[1] axes, int64[4] pads, int64[2] split)
        => (float[I] m, float[J, K] p, float[N, A] s, float[N, B] t) {
        m = ReduceSum <keepdims = 0> (x, axes)
        p = Pad (x, pads)
        s, t = Split <axis = 1> (x, split)
    }""",
    "scatter": """g (float[4, 6] x, int64[3, 2] i, float[3] u, int64[4, 5] j, float[4, 5] v)
        => (float[4, 6] y, float[4, 6] z) {
        y = ScatterND (x, i, u)
        z = ScatterElements <axis = 1> (x, j, v)
    }""",
}


@pytest.mark.parametrize("name", MODELS)
def test_the_model_takes_them(name: str) -> None:
    proto = model(MODELS[name], opset=18)
    proto.graph.node.sort(key=lambda node: node.op_type != "Constant")
    if name == "detection":
        order = ["Constant", "NonMaxSuppression", "TopK", "Gather", "Squeeze"]
        nodes = sorted(
            proto.graph.node, key=lambda n: (n.output[0] == "chosen", order.index(n.op_type))
        )
        del proto.graph.node[:]
        proto.graph.node.extend(nodes)
    for seed in range(5):
        feeds_for(proto, seed)


def test_the_whole_range_is_used() -> None:
    ids = feeds_for(model(MODELS["ids"]), N=200)["i"]
    assert set(np.unique(ids)) == set(range(5))
    proto = model(MODELS["ids of int32, shifted"])
    proto.graph.node.sort(key=lambda node: node.op_type != "Constant")
    shifted = feeds_for(proto, N=200)["i"]
    assert (shifted.min(), shifted.max()) == (3, 7)
    floats = feeds_for(model(MODELS["ids as floats"]), N=200)["i"]
    assert floats.dtype == np.float32 and (floats.min(), floats.max()) == (0, 4)


def test_written_rows_differ() -> None:
    feeds = feeds_for(model(MODELS["scatter"]))
    assert len({tuple(row) for row in feeds["i"].tolist()}) == 3
    assert all(len(set(row)) == 5 for row in feeds["j"].tolist())


def test_masks_hide_not_everything() -> None:
    text = """g (int64[N, M] keep, bool[N, M] on, int64[N, M] turned)
    => (float[N, M] y, bool[N, M] z) {
        c = Cast <to: int = 9> (keep)
        z = And (c, on)
        o = Constant <value: tensor = int64 {1}> ()
        s = Sub (o, turned)
        y = Cast <to: int = 1> (s)
    }"""
    for mask in feeds_for(model(text), N=50, M=4).values():
        assert set(np.unique(mask).tolist()) == {0, 1} and mask.any(axis=1).all()


def test_open_dimensions() -> None:
    dims = [("batch", "past + n", 4), ("batch", "n"), ("x[0]", 2)]
    assert symbols(dims) == ["batch", "past", "n", "x[0]"]
    sizes = first_guess(dims, {"n": 3})
    assert (sizes["batch"], sizes["n"], sizes["x[0]"]) == (2, 3, 2)
    assert evaluate(("past + n", "(n//2)", "2*n"), {"past": 4, "n": 5}) == (9, 2, 10)


def test_sizes_that_fit_are_found() -> None:
    """The middle dimension has to be that of the weight, the mask as long as past and words."""
    text = """g (float[A, B] x, float[C, P, 2] past, float[C, S, 2] words, float[C, T] mask)
    => (float[A, 3] y, float[C, T] z) {
        y = MatMul (x, w)
        a = Concat <axis = 1> (past, words)
        s = ReduceSum <keepdims = 0> (a, o)
        o = Constant <value: tensor = int64[1] {2}> ()
        z = Add (s, mask)
    }"""
    proto = model(text)
    proto.graph.node.sort(key=lambda node: node.op_type != "Constant")
    weight = onnx.numpy_helper.from_array(np.ones((7, 3), np.float32), "w")
    proto.graph.initializer.append(weight)
    report = verify(proto)
    assert report.ok, report
    shapes = {name: value.shape for name, value in report.inputs.items()}
    assert shapes["x"][1] == 7
    assert shapes["mask"][1] == shapes["past"][1] + shapes["words"][1]
