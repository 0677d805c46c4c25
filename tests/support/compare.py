"""Whether two models say the same."""

import onnx


def normalized(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what only tells how a tensor is spelled or that an empty field is set.

    An import that is listed twice counts once.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    imports = {(opset.domain, opset.version): opset for opset in model.opset_import}
    del copy.opset_import[:]
    copy.opset_import.extend(imports.values())
    pending = [copy]
    while pending:
        message = pending.pop()
        for field, value in message.ListFields():
            if field.type == field.TYPE_MESSAGE:
                pending.extend(value if field.is_repeated else [value])
            elif not field.is_repeated and value in _empty(field.name):
                message.ClearField(field.name)
    return copy


def _empty(name: str) -> tuple[object, ...]:
    """The values of a field that mean what its absence means."""
    if name in ("s", "raw_data", "dim_param"):  # attribute values and dimension names
        return ()
    return (0,) if name in ("model_version", "data_location") else ("", b"")


def assert_same_model(actual: onnx.ModelProto, expected: onnx.ModelProto) -> None:
    """Equal field by field: names, order, attributes, types, data, metadata, versions."""
    actual, expected = normalized(actual), normalized(expected)
    if actual != expected:
        ours = onnx.printer.to_text(actual).splitlines()
        theirs = onnx.printer.to_text(expected).splitlines()
        pairs = zip(ours, theirs, strict=False)
        lines = [f"- {theirs_}\n+ {ours_}" for ours_, theirs_ in pairs if ours_ != theirs_]
        raise AssertionError("the models differ:\n" + "\n".join(lines[:10]))
