"""Sums and activations of images, in any order in memory."""

from hetu.onednn import binding as c
from hetu.onednn.common import Floats, Ints, after, algorithm_of, present
from hetu.onednn.primitive import After, Description, Order, strided


def sum_of(order: Order, other: Order, activation: str, numbers: Floats) -> Description:
    """`activation(x + other, *numbers)` of tensors in these orders, which `other` may repeat."""
    dnnl = present()
    given = (dnnl.engine, c.ADD, order, other, order)
    return Description(dnnl, "binary", given, after(None, activation, numbers))


def activated(order: Order, activation: str, numbers: Floats) -> Description:
    """`activation(x, *numbers)` of a tensor in an order."""
    dnnl = present()
    algorithm = algorithm_of(activation, numbers)
    assert algorithm is not None, "there is nothing to compute"
    kind, first, second = algorithm
    given = (dnnl.engine, c.INFERENCE, kind, order, order, first, second)
    return Description(dnnl, "eltwise_forward", given, After())


def per_channel(shape: Ints) -> Order:
    """The order of a number for each channel of images of a shape."""
    channels = shape[1]
    ones = (1,) * (len(shape) - 2)
    return strided(present(), (1, channels, *ones), (channels, 1, *ones))
