"""Mixed precision: what is lowered, what stays, and losses scaled in float16."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import hetu as ht
from hetu.errors import UsageError
from hetu.onnx import load_onnx, to_module
from tests.interop.test_torch_models import RATE, STEPS, make_targets, trainer
from tests.interop.zoo.cases import Case, Exported, expected

RANDOM = np.random.default_rng(0)
BF16 = 2.0**-8
"""Half of the distance from 1 to the next bfloat16: what rounding once may change."""

CASES = [
    Case("convolutional", "unet", "script-kept"),
    Case("sequential", "transformer", "dynamo"),
    Case("pretrained", "bert", "script"),
    Case("pretrained", "llama", "dynamo"),
]


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def run(value: Any, precision: str = "bf16", **feeds: Any) -> Any:
    executor = ht.Executor([value], precision=precision)
    return executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)[0]


def lowered(name: str) -> ht.Value:
    """A feed that autocast has made a bfloat16 of: its product with 1."""
    x = ht.Variable(name=name, dtype="float32")
    return ht.op.MatMul(x, ht.constant(np.eye(4, dtype=np.float32)))


@pytest.fixture(scope="module", params=CASES, ids=str)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return Exported(request.param, tmp_path_factory.mktemp("precision") / "model.onnx")


def distance(actual: list[Any], wanted: list[torch.Tensor]) -> float:
    pairs = zip(actual, wanted, strict=True)
    return max(float((torch.as_tensor(a).float() - w).norm() / w.norm()) for a, w in pairs)


def test_results_are_as_close_as_torchs(exported: Exported) -> None:
    given = exported.architecture.inputs
    exact = [y.detach() for y in expected(exported.module, given)]
    with torch.autocast("cpu", torch.bfloat16):
        torchs = [y.detach() for y in expected(exported.module, given)]
    model = load_onnx(exported.path)
    executor = ht.Executor(list(model.outputs.values()), precision="bf16")
    ours = executor.run(feed_dict=exported.feeds(given), convert_to_numpy_ret_vals=True)
    assert all(y.dtype == np.float32 for y in ours)
    assert 0 < distance(ours, exact) <= 2 * distance(torchs, exact) + BF16


def test_training_follows_torchs_loop(exported: Exported, tmp_path: Path) -> None:
    """What one step rounds the next one goes on from; checkpoint and export are in float32."""
    given, module = exported.architecture.inputs, exported.case.build().module
    targets = make_targets(exported.case.build().module, given)
    model = load_onnx(exported.path)
    executor, fed = trainer(model, targets, precision="bf16")
    feeds = exported.feeds(given) | {fed[i]: target.numpy() for i, target in targets.items()}
    ours = [executor.run("train", feed_dict=feeds)[0].asnumpy().item() for _ in range(STEPS)]
    np.testing.assert_allclose(ours, losses(module, given, targets), rtol=STEPS * BF16)
    assert ours[-1] < ours[0]
    assert {array.dtype.name for array in executor.state_dict().values()} <= {"float32", "int64"}
    inputs, outputs = list(model.inputs.values()), list(model.outputs.values())
    ht.onnx.export(executor, inputs, outputs, tmp_path / "model.onnx")
    written = onnx.load(tmp_path / "model.onnx")
    types = {t.name: t.data_type for t in exported.proto.graph.initializer}
    assert {t.name: t.data_type for t in written.graph.initializer} == types


def losses(module: torch.nn.Module, given: Any, targets: dict[int, torch.Tensor]) -> list[float]:
    module.train()
    optimizer, found = torch.optim.SGD(module.parameters(), RATE), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            results = expected(module, given)
            loss = sum((results[i] - target).square().mean() for i, target in targets.items())
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return found


def test_small_updates_add_up() -> None:
    """Each is a sixteenth of the distance between 1 and the bfloat16 below."""
    w = ht.Variable(name="w", value=np.ones((4, 1), np.float32))
    x = ht.Variable(name="x")
    loss = ht.op.ReduceSum(ht.op.MatMul(x, w), keepdims=0)
    train = ht.optim.SGDOptimizer(2.0**-12).minimize(loss)
    executor = ht.Executor({"train": [loss, train]}, precision="bf16")
    for _ in range(100):
        executor.run("train", feed_dict={x: np.ones((1, 4), np.float32)})
    weights = executor.state_dict()["w"]
    np.testing.assert_array_equal(weights, np.full((4, 1), 1 - 100 * 2.0**-12, np.float32))


def half(factor: float) -> tuple[ht.Executor, ht.Value]:
    """A product in float16 whose gradient is `factor` times as large as what is fed."""
    w = ht.Variable(name="w", value=np.full((4, 3), 0.5, np.float32))
    x = ht.Variable(name="x")
    loss = ht.op.ReduceSum(ht.op.MatMul(x, w) * np.float32(factor), keepdims=0)
    (gradient,) = ht.gradients(loss, [w])
    train = ht.optim.AdamOptimizer(0.01).minimize(loss)
    return ht.Executor({"train": [loss, train, gradient]}, precision="fp16"), x


def test_a_step_that_overflows_is_left_out() -> None:
    """The loss's gradient is 1 * 65536: more than float16 holds, which 32768 is not."""
    executor, x = half(1)
    before = executor.state_dict()["w"].copy()
    feeds = {x: np.full((2, 4), 2.0**-3, np.float32)}
    executor.run("train", feed_dict=feeds)
    np.testing.assert_array_equal(executor.state_dict()["w"], before)
    _, _, gradient = executor.run("train", feed_dict=feeds, convert_to_numpy_ret_vals=True)
    np.testing.assert_array_equal(gradient, np.full((4, 3), 2.0**-2))
    np.testing.assert_allclose(executor.state_dict()["w"], before - 0.01, rtol=1e-5)


def test_gradients_too_small_for_half_precision() -> None:
    """2**-27 is 0 in float16; the scale keeps it."""
    executor, x = half(2.0**-20)
    feeds = {x: np.full((1, 4), 2.0**-7, np.float32)}
    executor.run("train", feed_dict=feeds)  # finds the scale
    gradient = executor.run("train", feed_dict=feeds, convert_to_numpy_ret_vals=True)[2]
    np.testing.assert_array_equal(gradient, np.full((4, 3), 2.0**-27))


def test_a_loss_that_is_infinite_trains_nothing() -> None:
    executor, x = half(1)
    before = executor.state_dict()["w"].copy()
    for _ in range(3):
        executor.run("train", feed_dict={x: np.full((1, 4), 1e5, np.float32)})
    np.testing.assert_array_equal(executor.state_dict()["w"], before)


def test_the_scale_of_losses_resumes(tmp_path: Path) -> None:
    """The first steps halve it; without it, the run that resumes would leave out steps again."""
    (first, x), (second, y) = half(8), half(8)
    batches = [np.abs(floats(2, 4)) / 8 for _ in range(10)]
    for batch in batches[:6]:
        first.run("train", feed_dict={x: batch})
    first.save(str(tmp_path), "c")
    second.load(str(tmp_path), "c")
    for batch in batches[6:]:
        mine = first.run("train", feed_dict={x: batch}, convert_to_numpy_ret_vals=True)
        theirs = second.run("train", feed_dict={y: batch}, convert_to_numpy_ret_vals=True)
        np.testing.assert_array_equal(mine[0], theirs[0])
        np.testing.assert_array_equal(mine[2], theirs[2])
    assert (first.state_dict()["w"] < 0.5 - 0.01).all()
    np.testing.assert_array_equal(first.state_dict()["w"], second.state_dict()["w"])


def recorded(precision: str) -> int:
    """The bytes that autograd keeps for the backward pass of a deep net."""
    x = z = ht.Variable(name="x")
    for i in range(8):
        z = ht.op.Relu(ht.op.MatMul(z, ht.Variable(name=f"w{i}", value=floats(32, 32) / 8)))
    train = ht.optim.SGDOptimizer(0.01).minimize(ht.op.ReduceMean(z * z, keepdims=0))
    executor, kept = ht.Executor({"train": [train]}, precision=precision), {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        executor.run("train", feed_dict={x: floats(512, 32)})
    return sum(kept.values())


def test_activations_take_half_the_memory() -> None:
    assert recorded("bf16") < 0.6 * recorded("fp32")


def test_running_statistics_stay_in_float32() -> None:
    """Those of a product that is rounded to bfloat16, but not their means."""
    x = lowered("x")
    values = {"scale": 1.0, "shift": 0.0, "mean": 0.0, "var": 1.0}
    vectors = [ht.Variable(name=n, value=np.full(4, v, np.float32)) for n, v in values.items()]
    y = ht.op.BatchNormalization(x, *vectors, momentum=0.0)
    loss = ht.op.ReduceMean(y * y, keepdims=0)
    train = ht.optim.SGDOptimizer(0.1).minimize(loss, vectors[:2])
    executor = ht.Executor({"train": [train]}, precision="bf16")
    batch = torch.from_numpy(floats(50, 4)).bfloat16().float().numpy()
    executor.run("train", feed_dict={"x": batch})
    state = executor.state_dict()
    np.testing.assert_allclose(state["mean"], batch.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(state["var"], batch.var(0, ddof=1), rtol=1e-4)


ROWS = np.array([[0.5, -1, 2, 4], [1, 0.25, -3, 8], [2, 2, 1, -0.5]], np.float32)
SLOTS = np.array([[2, 0, 1, 1]])


@pytest.mark.parametrize(
    "build",
    [
        lambda low, full: ht.op.ScatterElements(low, SLOTS, full[:1], axis=0),
        lambda low, full: ht.op.ScatterElements(full, SLOTS, low[:1], axis=0, reduction="max"),
        lambda low, full: ht.op.ScatterND(low, np.array([[1]]), full[:1]),
        lambda low, full: ht.op.ScatterND(full, np.array([[1]]), low[:1], reduction="mul"),
        lambda low, full: ht.op.LayerNormalization(full, low[0], full[1], outputs=1),
        lambda low, full: ht.op.LayerNormalization(low, full[0], low[1], outputs=1),
        lambda low, full: ht.op.Where(ht.op.Greater(full, low), low, full),
        lambda low, full: ht.op.Concat(low, full, axis=0),
        lambda low, full: ht.op.SequenceAt(ht.op.SequenceConstruct(full, low), np.int64(1)),
        lambda low, full: ht.op.Einsum(low, full, equation="ij,ik->ijk"),
        lambda low, full: ht.op.MatMul(low[:, 1:2], full[:1]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lowered_values_beside_others(build: Any, precision: str) -> None:
    """What is fed, and all that these operators make of it, are exact in the lower type, too."""
    y = build(lowered("x"), ht.Variable(name="x2", dtype="float32"))
    feeds = {"x": ROWS, "x2": ROWS[::-1].copy()}
    exact, result = run(y, "fp32", **feeds), run(y, precision, **feeds)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, exact, rtol=4 * BF16, atol=BF16)


@pytest.mark.parametrize("operator", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("options", [{}, {"clip": 100.0}, {"direction": "reverse"}], ids=str)
def test_recurrent_layers(operator: str, options: dict[str, Any]) -> None:
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[operator]
    sequence = ht.op.Unsqueeze(lowered("x"), np.array([1]))
    w, r = (ht.Variable(name=n, value=floats(1, gates * 5, k)) for n, k in (("w", 4), ("r", 5)))
    y = getattr(ht.op, operator)(sequence, w, r, hidden_size=5, outputs=1, **options)
    loss = ht.op.ReduceSum(y * y, keepdims=0)
    for value in (y, ht.gradients(loss, [w])[0]):
        exact, result = run(value, "fp32", x=ROWS / 8), run(value, x=ROWS / 8)
        assert np.linalg.norm(result - exact) < 8 * BF16 * np.linalg.norm(exact)


LOOP = """<ir_version: 8, opset_import: ["": 17]>
    g (float[2,2] x, float[2,2] w, int64 n) => (float[2,2] y, float[k,2,2] ys) {
        y, ys = Loop <body = step (int64 i, bool going, float[2,2] before)
            => (bool going_on, float[2,2] after, float[2,2] seen) {
            going_on = Identity (going)
            product = MatMul (before, w)
            after = Sub (product, x)
            seen = Identity (before)
        }> (n, , x)
    }"""


def test_bodies_compute_in_the_precision() -> None:
    """The state of a loop starts in float32 and goes on in bfloat16."""
    model = load_onnx(onnx.parser.parse_model(LOOP))
    x, w = np.float32([[1.01, 2], [3, 4]]), np.float32([[0.5, 0.25], [0.125, 1.01]])
    feeds = {"x": x, "w": w, "n": np.int64(2)}
    executor = ht.Executor(list(model.outputs.values()), precision="bf16")
    y, ys = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    once = x @ w - x
    assert (y.dtype, ys.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(ys, [x, once], rtol=2 * BF16, atol=8 * BF16)
    np.testing.assert_allclose(y, once @ w - x, rtol=4 * BF16, atol=16 * BF16)
    assert not np.allclose(y, once @ w - x, rtol=BF16 / 100)


def test_integers_are_exact() -> None:
    """Sums of products of 8 bits, which are computed as floats."""
    a = ht.Variable(name="a", dtype="uint8")
    weights = RANDOM.integers(0, 256, (40, 7)).astype(np.uint8)
    y = ht.op.MatMulInteger(a, ht.constant(weights))
    given = RANDOM.integers(0, 256, (5, 40)).astype(np.uint8)
    wanted = given.astype(np.int32) @ weights.astype(np.int32)
    np.testing.assert_array_equal(run(y, a=given), wanted)


def test_positions_times_frequencies_are_exact() -> None:
    """bfloat16 has no 1001, and a rotary embedding at 1000 is another one."""
    positions = ht.Variable(name="x", dtype="float32")
    frequencies = 10000.0 ** (-np.arange(8, dtype=np.float32) / 8)[None]
    y = ht.op.MatMul(positions, ht.constant(frequencies))
    given = np.arange(2000, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(run(y, x=given), given * frequencies)


def test_masks_stay_finite() -> None:
    """The least float32 is no bfloat16; the softmax of a row masked whole is even, not NaN."""
    least = ht.constant(np.finfo(np.float32).min)
    masked = ht.op.Where(ht.constant(np.zeros((1, 4), bool)), lowered("x"), least)
    np.testing.assert_array_equal(run(ht.op.Softmax(masked), x=ROWS), np.full((3, 4), 0.25))


def test_losses_are_float32() -> None:
    """From logits in bfloat16; in that type the loss would have 3 digits."""
    logits = lowered("x")
    loss = ht.op.SoftmaxCrossEntropyLoss(logits, ht.constant(np.array([0, 3, 1])), outputs=1)
    wanted = torch.nn.functional.cross_entropy(torch.from_numpy(ROWS), torch.tensor([0, 3, 1]))
    np.testing.assert_allclose(run(loss, x=ROWS), wanted, rtol=1e-6)


def test_a_model_in_float16_stays_in_float16() -> None:
    x = ht.Variable(name="x", dtype="float16")
    w = ht.Variable(name="w", value=floats(4, 3), dtype="float16")
    y, given = ht.op.MatMul(x, w), floats(5, 4).astype(np.float16)
    wanted = run(y, "fp32", x=given)
    for precision in ("bf16", "fp16"):
        result = run(y, precision, x=given)
        assert result.dtype == np.float16
        np.testing.assert_array_equal(result, wanted)


def test_modules_under_autocast(exported: Exported) -> None:
    """A module follows the torch.autocast that it is called in."""
    model, given = load_onnx(exported.path), exported.architecture.inputs
    feeds = exported.feeds(given)
    outputs = list(model.outputs.values())
    wanted = ht.Executor(outputs, precision="bf16").run(
        feed_dict=feeds, convert_to_numpy_ret_vals=True
    )
    module = to_module(model).eval()
    with torch.autocast("cpu", torch.bfloat16):
        results = module(**{name: torch.from_numpy(x) for name, x in feeds.items()})
    results = results if isinstance(results, tuple) else (results,)
    for result, value in zip(results, wanted, strict=True):
        # torch's recurrent and attention kernels differ where gradients are recorded
        np.testing.assert_allclose(result.detach().float(), value, rtol=1e-4, atol=1e-6)


def test_an_unknown_precision_lists_the_choices() -> None:
    with pytest.raises(UsageError, match="'fp32', 'bf16', 'fp16', not 'half'"):
        ht.Executor([ht.Variable(name="x")], precision="half")
