"""BatchNormalization, GroupNormalization, LayerNormalization."""

from hetu.ir import Value
from hetu.passes.opset.derive import plain
from hetu.passes.opset.rewrite import Rewrite
from hetu.passes.opset.rule import Results, down, up
from hetu.types import dtype


@up("BatchNormalization", 7)
def batch_normalization_tests(rewrite: Rewrite) -> Results:
    """From here on, a node says by its outputs that it trains."""
    if not rewrite.attribute("is_test", 0):
        return rewrite.keep(without=("is_test",))
    statistics = [rewrite.given(3), rewrite.given(4)]
    (y,) = rewrite.keep(without=("is_test",), outputs=1)
    return [y, *statistics, *statistics]


@up("BatchNormalization", 9)
def batch_normalization_per_element(rewrite: Rewrite) -> Results:
    """With `spatial=0` each element of a sample had statistics of its own."""
    if rewrite.attribute("spatial", 1):
        return rewrite.keep(without=("spatial",))
    x, *parameters = (rewrite.given(index) for index in range(5))
    if any(map(rewrite.is_used, range(1, 5))):
        rewrite.fail("statistics per element have no form as outputs")
    flat = [rewrite.op("Reshape", parameter, [-1]) for parameter in parameters]
    matrix = rewrite.op("Flatten", x, axis=1)
    (y,) = rewrite.keep([matrix, *flat], without=("spatial",), outputs=1)
    return rewrite.op("Reshape", y, rewrite.op("Shape", x))


@up("BatchNormalization", 14)
def batch_normalization_trains(rewrite: Rewrite) -> Results:
    if not any(map(rewrite.is_used, range(1, 5))):
        return rewrite.keep(outputs=1)
    saved = _statistics(rewrite) if rewrite.is_used(3) or rewrite.is_used(4) else []
    return [*rewrite.keep(training_mode=1, outputs=3), *saved]


@down("BatchNormalization", 15)
def batch_normalization_of_one_type(rewrite: Rewrite) -> Results:
    """Until opset 15, parameters were of the data's type."""
    x, scale = rewrite.given(0), rewrite.given(1)
    element = rewrite.dtype(x)
    if all(rewrite.dtype(rewrite.given(index)) == element for index in range(1, 5)):
        return plain(rewrite)
    wide = rewrite.op("Cast", x, to=rewrite.dtype(scale).code)
    statistics = [rewrite.op("CastLike", rewrite.given(i), scale, version=15) for i in (3, 4)]
    y, *running = rewrite.keep([wide, scale, rewrite.input(2), *statistics])
    moved = [v and rewrite.op("CastLike", v, rewrite.given(3), version=15) for v in running]
    return [rewrite.op("Cast", y, to=element.code), *moved]


@down("BatchNormalization", 14)
def batch_normalization_by_statistics(rewrite: Rewrite) -> Results:
    """Training normalizes with the batch's statistics and moves the running ones."""
    if not rewrite.attribute("training_mode", 0):
        return rewrite.keep(without=("training_mode",), outputs=1)
    x, scale, b, *running = (rewrite.given(index) for index in range(5))
    batch = _statistics(rewrite)
    y = rewrite.op(
        "BatchNormalization", x, scale, b, *batch, epsilon=rewrite.attribute("epsilon", 1e-5)
    )
    return [y, *(_moved(rewrite, *pair) for pair in zip(running, batch, strict=True))]


def _statistics(rewrite: Rewrite) -> list[Value]:
    """The batch's mean and variance by channel."""
    x = rewrite.given(0)
    axes = [axis for axis in range(rewrite.rank(x)) if axis != 1]
    mean = rewrite.op("ReduceMean", x, axes=axes, version=13)
    centered = rewrite.op("Sub", x, mean)
    squares = rewrite.op("Mul", centered, centered)
    variance = rewrite.op("ReduceMean", squares, axes=axes, keepdims=0, version=13)
    return [rewrite.op("ReduceMean", x, axes=axes, keepdims=0, version=13), variance]


def _moved(rewrite: Rewrite, running: Value, batch: Value) -> Value:
    momentum, element = rewrite.attribute("momentum", 0.9), rewrite.dtype(running)
    kept = rewrite.op("Mul", running, rewrite.constant(momentum, element))
    added = rewrite.op("Mul", batch, rewrite.constant(1 - momentum, element))
    return rewrite.op("Add", kept, added)


@down("LayerNormalization", 17)
def layer_normalization(rewrite: Rewrite) -> Results:
    """The operator's body takes its scale for one of all elements, where it may be broadcast."""
    x, scale, bias = rewrite.given(0), rewrite.given(1), rewrite.input(2)
    axis, work = rewrite.attribute("axis", -1), rewrite.work_type(x)
    axes = list(range(axis, 0 if axis < 0 else rewrite.rank(x)))
    wide = rewrite.cast(x, work)
    mean = rewrite.op("ReduceMean", wide, axes=axes)
    centered = rewrite.op("Sub", wide, mean)
    variance = rewrite.op("ReduceMean", rewrite.op("Mul", centered, centered), axes=axes)
    epsilon = rewrite.constant(rewrite.attribute("epsilon", 1e-5), work)
    deviation = rewrite.op("Sqrt", rewrite.op("Add", variance, epsilon))
    y = rewrite.cast(rewrite.op("Div", centered, deviation), rewrite.dtype(x))
    y = rewrite.op("Mul", y, scale)
    stash = dtype(rewrite.attribute("stash_type", 1))
    return [
        y if bias is None else rewrite.op("Add", y, bias),
        rewrite.cast(mean, stash) if rewrite.is_used(1) else None,
        rewrite.cast(rewrite.op("Reciprocal", deviation), stash) if rewrite.is_used(2) else None,
    ]


@up("GroupNormalization", 21)
def group_normalization(rewrite: Rewrite) -> Results:
    """Scale and bias were one number per group; now they are one per channel."""
    x, groups = rewrite.given(0), rewrite.attribute("num_groups")
    parameters = [_per_channel(rewrite, x, rewrite.given(i), groups) for i in (1, 2)]
    return rewrite.keep([x, *parameters])


def _per_channel(rewrite: Rewrite, x: Value, parameter: Value, groups: int) -> Value:
    shape = rewrite.shape(x)
    channels = shape[1] if shape else None
    if isinstance(channels, int):
        size = [1, channels // groups]
    else:
        channels = rewrite.op("Shape", x, start=1, end=2)
        size = rewrite.op("Concat", [1], rewrite.op("Div", channels, [groups]), axis=0)
    table = rewrite.op("Expand", rewrite.op("Unsqueeze", parameter, [1]), size)
    return rewrite.op("Reshape", table, [-1])


@up("MeanVarianceNormalization", 13)
def mean_variance_normalization(rewrite: Rewrite) -> Results:
    """The function body that the operator has from here on wants its default stated."""
    return rewrite.keep(axes=rewrite.attribute("axes", (0, 2, 3)))
