"""Calls of activation functions."""

from tests.support.examples import Call, Random, example


@example("Relu")
def relu(random: Random, version: int) -> Call:
    return Call([random.floats(rank=random.integer(0, 4))])
