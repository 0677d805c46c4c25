"""Normalizations in training, at the edges of their domain, and where ONNX Runtime has none."""

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from hetu.onnx import load_onnx
from hetu.ops.ai_onnx import norm
from hetu.ops.kinds import Context
from hetu.optim import SGDOptimizer
from hetu.runtime.executor import Executor

TRAINS = Context(training=True)


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


def batch(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """The inputs of a batch normalization."""
    channels = shape[1] if len(shape) > 1 else 1
    scale, bias, mean, var = (draw(channels, dtype=dtype) + i for i in range(4))
    return [draw(*shape, dtype=dtype), scale, bias, mean, var.abs() + 0.1]


def columns(x: Tensor) -> Tensor:
    """`x` with channels last and everything else in rows."""
    return x.movedim(1, -1).reshape(-1, x.shape[1]) if x.ndim > 1 else x.reshape(-1, 1)


@pytest.mark.parametrize("shape", [(7,), (5, 3), (2, 3, 4), (2, 3, 4, 5), (2, 3, 2, 2, 2), (1, 3)])
@pytest.mark.parametrize("training_mode", [True, False])
def test_batch_normalization_trains(shape: tuple[int, ...], training_mode: bool) -> None:
    """ONNX's running variance is of the batch; where the file does not train, torch's estimate."""
    x, scale, bias, mean, var = batch(shape)
    y, *statistics = norm.batch_normalization(
        x, scale, bias, mean, var, momentum=0.8, epsilon=1e-3, training_mode=training_mode,
        ctx=TRAINS,
    )  # fmt: skip
    rows = columns(x)
    batch_mean, batch_var = rows.mean(0), rows.var(0, correction=0)
    expected = (rows - batch_mean) / (batch_var + 1e-3).sqrt() * scale + bias
    torch.testing.assert_close(columns(y), expected)
    moved = batch_var if training_mode or len(rows) == 1 else rows.var(0)
    running = [0.8 * mean + 0.2 * batch_mean, 0.8 * var + 0.2 * moved]
    torch.testing.assert_close(statistics, running * 2)


def test_statistics_are_detached_and_inputs_stay() -> None:
    inputs = [x.requires_grad_() for x in batch((4, 3, 2))]
    copies = [x.detach().clone() for x in inputs]
    y, *statistics = norm.batch_normalization(*inputs, ctx=TRAINS)
    y.square().sum().backward()
    assert all(not statistic.requires_grad for statistic in statistics)
    assert all(map(torch.equal, inputs, copies))


@pytest.mark.parametrize("x_type", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("scale_type", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("mean_type", [torch.float32, torch.float64])
@pytest.mark.parametrize("training", [False, True])
def test_mixed_types(
    x_type: torch.dtype, scale_type: torch.dtype, mean_type: torch.dtype, training: bool
) -> None:
    exact = batch((4, 3, 5))
    x, *scales = exact[0].to(x_type), *(p.to(scale_type) for p in exact[1:3])
    statistics = [p.to(mean_type) for p in exact[3:]]
    results = norm.batch_normalization(x, *scales, *statistics, ctx=Context(training))
    expected = norm.batch_normalization(*exact, ctx=Context(training))
    assert [r.dtype for r in results] == [x_type] + [mean_type] * (len(results) - 1)
    for result, value in zip(results, expected, strict=True):
        torch.testing.assert_close(result.double(), value, rtol=2**-6, atol=2**-6)


def test_gradient_of_given_statistics() -> None:
    inputs = [x.requires_grad_() for x in batch((2, 3, 2))]
    function = lambda *values: norm.batch_normalization(*values, ctx=Context())[0]  # noqa: E731
    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("training", [False, True])
def test_gradient_with_expanded_parameters(training: bool) -> None:
    """torch's exporter expands a one where a norm has no weights."""
    x = draw(4, 16).requires_grad_()
    expanded = [draw(1).abs().expand(16) for _ in range(4)]
    grads = [
        torch.autograd.grad(
            norm.batch_normalization(x, *parameters, ctx=Context(training))[0].pow(3).sum(), x
        )[0]
        for parameters in (expanded, [p.clone() for p in expanded])
    ]
    torch.testing.assert_close(*grads)


def test_outputs_say_that_old_nodes_train() -> None:
    inputs = batch((4, 3, 2))
    x, _, _, mean, var = inputs
    rows = columns(x)
    batch_mean, batch_var = rows.mean(0), rows.var(0, correction=0)
    running = [0.9 * mean + 0.1 * batch_mean, 0.9 * var + 0.1 * batch_var]
    expected = [*running, batch_mean, batch_var, *running]
    _, *statistics = norm.batch_normalization_9(*inputs, ctx=Context(), n_outputs=5)
    torch.testing.assert_close(statistics, expected)
    _, *statistics = norm.batch_normalization_9(*inputs, ctx=Context(), n_outputs=1)
    torch.testing.assert_close(statistics, [mean, var, mean, var])
    _, *statistics = norm.batch_normalization_1(*inputs, is_test=True, ctx=Context(), n_outputs=5)
    torch.testing.assert_close(statistics, [mean, var, mean, var])


def test_batch_normalization_of_each_feature() -> None:
    x = draw(4, 3, 2)
    parameters = [draw(3, 2) + i for i in range(4)]
    y, *statistics = norm.batch_normalization_7(
        x, *parameters, spatial=False, ctx=TRAINS, n_outputs=5
    )
    flat = [parameter.flatten() for parameter in parameters]
    expected, *_ = norm.batch_normalization_9(x.flatten(1), *flat, ctx=TRAINS, n_outputs=5)
    torch.testing.assert_close(y.flatten(1), expected)
    torch.testing.assert_close(statistics[2], x.mean(0))


MODEL = """
<ir_version: 7, opset_import: ["" : {version}]>
m (float[n, 2] x) => (float[n, 2] y, float loss)
<
    float[2] scale = {{1, 1}}, float[2] bias = {{0, 0}},
    float[2] mean = {{4, 4}}, float[2] var = {{9, 9}}
>
{{
    y = BatchNormalization <momentum = 0.5> (x, scale, bias, mean, var)
    loss = ReduceMean <keepdims = 0> (y)
}}"""


@pytest.mark.parametrize("version", [7, 9, 14, 15])
def test_training_moves_statistics_and_no_optimizer_does(version: int) -> None:
    model = load_onnx(onnx.parser.parse_model(MODEL.format(version=version)))
    y = model.outputs["y"]
    train = SGDOptimizer(0.1).minimize(model.outputs["loss"])
    executor = Executor({"train": [y, train], "validate": [y]})
    x = np.array([[0, 1], [2, 1]], np.float32)
    executor.run("train", feed_dict={"x": x})
    state = executor.state_dict()
    np.testing.assert_allclose(state["mean"], [2.5, 2.5])
    np.testing.assert_allclose(state["var"], [5.5, 4.5])  # of [0, 2] and [1, 1], unbiased
    (result,) = executor.run("validate", feed_dict={"x": x}, convert_to_numpy_ret_vals=True)
    scaled = (x - state["mean"]) / np.sqrt(state["var"] + 1e-5)
    np.testing.assert_allclose(result, scaled * state["scale"] + state["bias"], rtol=1e-5)
    np.testing.assert_array_equal(executor.state_dict()["mean"], state["mean"])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 3), (1, 5, 2, 3)])
def test_lrn(shape: tuple[int, ...], size: int) -> None:
    x = draw(*shape)
    sums = torch.zeros_like(x)
    for c in range(5):
        low, high = max(0, c - (size - 1) // 2), min(4, c + size // 2)
        sums[:, c] = x[:, low : high + 1].square().sum(1)
    expected = x / (2 + 0.5 / size * sums) ** 0.6
    torch.testing.assert_close(norm.lrn(x, alpha=0.5, beta=0.6, bias=2.0, size=size), expected)


def test_scale_of_groups_until_version_21() -> None:
    x, scale, bias = draw(2, 6, 3), draw(2), draw(2)
    grouped = x.reshape(2, 2, 9)
    deviation = (grouped.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
    expected = (grouped - grouped.mean(2, keepdim=True)) / deviation
    expected = expected * scale[:, None] + bias[:, None]
    y = norm.group_normalization_18(x, scale, bias, num_groups=2)
    torch.testing.assert_close(y, expected.view_as(x))


def test_statistics_of_layers_have_the_stash_type() -> None:
    x = draw(2, 3, 4, dtype=torch.float16)
    y, mean, inverse = norm.layer_normalization(x, x[0, 0], axis=1, n_outputs=3)
    assert mean is not None and inverse is not None
    assert (y.dtype, mean.dtype, inverse.dtype) == (torch.float16, torch.float32, torch.float32)
    exact = x.float()
    torch.testing.assert_close(mean, exact.mean((1, 2), keepdim=True), rtol=1e-5, atol=1e-6)


def test_single_values_are_their_own_mean() -> None:
    x, scale, bias = draw(1, 3, 1), draw(3), draw(3)
    expected = bias.reshape(1, 3, 1)
    torch.testing.assert_close(norm.instance_normalization(x, scale, bias), expected)
    torch.testing.assert_close(norm.group_normalization(x, scale, bias, num_groups=3), expected)


@pytest.mark.parametrize("p", [1, 2])
def test_zeros_are_normalized_to_zeros(p: int) -> None:
    x = torch.zeros(2, 3, requires_grad=True)
    y = norm.lp_normalization(x, p=p)
    y.sum().backward()
    assert y.tolist() == torch.zeros(2, 3).tolist()
    assert x.grad is not None and x.grad.isfinite().all()


def test_constants_have_a_gradient() -> None:
    x = torch.ones(2, 3, 2, 2, requires_grad=True)
    norm.mean_variance_normalization(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 3, 0), (0, 3)])
def test_nothing_is_normalized_to_nothing(shape: tuple[int, ...]) -> None:
    x, scale = torch.zeros(shape), torch.ones(3)
    for y in (
        norm.batch_normalization(x, *[scale] * 4, ctx=TRAINS)[0],
        norm.batch_normalization(x, *[scale] * 4, ctx=Context(False))[0],
        norm.instance_normalization(x, scale, scale),
        norm.group_normalization(x, scale, scale, num_groups=1),
        norm.layer_normalization(x, torch.ones(shape[-1]), n_outputs=1)[0],
        norm.rms_normalization(x, torch.ones(shape[-1])),
        norm.lrn(x, size=3),
        norm.lp_normalization(x),
        norm.mean_variance_normalization(x, axes=(1,)),
    ):
        assert y.shape == shape


SHARED = """
<ir_version: 7, opset_import: ["" : 15]>
m (float[n, 2] x) => (float[n, 2] y)
<
    float[2] scale = {1, 1}, float[2] bias = {0, 0}, float[2] mean = {4, 4}, float[2] var = {9, 9}
>
{
    z = BatchNormalization <momentum = 0.5> (x, scale, bias, mean, var)
    y = BatchNormalization <momentum = 0.5> (z, scale, bias, mean, var)
}"""


def test_nodes_move_shared_statistics_in_turn() -> None:
    model = load_onnx(onnx.parser.parse_model(SHARED))
    y = model.outputs["y"]
    train = SGDOptimizer(0.0).minimize(y)
    executor = Executor({"train": [y, train]})
    x = np.array([[0, 1], [2, 1]], np.float32)
    executor.run("train", feed_dict={"x": x})
    layer = torch.nn.BatchNorm1d(2, momentum=0.5)
    layer.load_state_dict({"running_mean": Tensor([4, 4]), "running_var": Tensor([9, 9])}, False)
    layer(layer(torch.from_numpy(x)))
    state = executor.state_dict()
    np.testing.assert_allclose(state["mean"], layer.running_mean)
    np.testing.assert_allclose(state["var"], layer.running_var, rtol=1e-5)
