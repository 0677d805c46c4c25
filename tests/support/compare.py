"""Whether two models say the same."""

import onnx


def normalized(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what only tells how a tensor is spelled or that an empty field is set."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    pending = [copy]
    while pending:
        message = pending.pop()
        for field, value in message.ListFields():
            if field.type == field.TYPE_MESSAGE:
                pending.extend(value if field.is_repeated else [value])
            elif not field.is_repeated and value in ("", b"") and not _is_content(field):
                message.ClearField(field.name)
    return copy


def _is_content(field: object) -> bool:
    """Whether an empty field differs from an absent one: attribute values and dimension names."""
    return getattr(field, "name", "") in ("s", "raw_data", "dim_param")


def assert_same_model(actual: onnx.ModelProto, expected: onnx.ModelProto) -> None:
    """Equal field by field: names, order, attributes, types, data, metadata, versions."""
    actual, expected = normalized(actual), normalized(expected)
    if actual != expected:
        ours = onnx.printer.to_text(actual).splitlines()
        theirs = onnx.printer.to_text(expected).splitlines()
        pairs = zip(ours, theirs, strict=False)
        lines = [f"- {theirs_}\n+ {ours_}" for ours_, theirs_ in pairs if ours_ != theirs_]
        raise AssertionError("the models differ:\n" + "\n".join(lines[:10]))
