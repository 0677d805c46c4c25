"""Calls of operators on optional values."""

from onnx import TensorProto, helper

from tests.support.examples import Call, Random, example


@example("Optional")
def optional(random: Random, version: int) -> Call:
    x = random.floats(rank=2)
    empty = helper.make_tensor_type_proto(TensorProto.FLOAT, [None, 3])
    return random.choice(Call([x]), Call([[x, x]]), Call([], {"type": empty}))


@example("OptionalHasElement")
def optional_has_element(random: Random, version: int) -> Call:
    x = random.choice(random.floats(rank=2), [random.floats(rank=1)])
    if version < 18:
        return Call([x], optionals=[0])
    return random.choice(Call([x]), Call([x], optionals=[0]), Call([]))


@example("OptionalGetElement")
def optional_get_element(random: Random, version: int) -> Call:
    x = random.choice(random.floats(rank=2), [random.floats(rank=1)])
    return Call([x], optionals=[0] if version < 18 else random.choice([], [0]))
