"""The backend test suite that the onnx package ships, as cases with inputs and expected outputs."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

KINDS = ("node", "simple", "pytorch-operator", "pytorch-converted", "real")
RTOL, ATOL = 1e-3, 1e-5
EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
"""The distance from 1 to the next number, in the types where it exceeds the suite's tolerance."""


@dataclass(frozen=True)
class Case:
    """One case: its model, and data sets of inputs and expected outputs."""

    name: str
    kind: str
    source: Any

    @property
    def model(self) -> onnx.ModelProto:
        """The model, loaded anew."""
        if self.source.model is not None:
            return self.source.model
        return onnx.load(self._path)

    @property
    def _path(self) -> Path:
        if self.source.model_dir is None:
            return Path(onnx.__file__).parents[1] / self.source.url
        return Path(self.source.model_dir) / "model.onnx"

    def data_sets(self) -> Iterator[tuple[list[Any], list[Any]]]:
        """Inputs and expected outputs, in the model's order."""
        if self.source.data_sets is not None:
            for inputs, outputs in self.source.data_sets:
                yield [_array(x) for x in inputs], [_array(x) for x in outputs]
            return
        graph = self.model.graph
        if self.source.model_dir is None:
            yield _ramps(graph), [_read(self._path.with_name(f"{self._path.stem}_output_0.pb"))]
            return
        for folder in sorted(Path(self.source.model_dir).glob("test_data_set_*")):
            yield (
                [_read(p, graph.input[i].type) for i, p in enumerate(_numbered(folder, "input"))],
                [_read(p, graph.output[i].type) for i, p in enumerate(_numbered(folder, "output"))],
            )


def _array(content: Any) -> Any:
    """The array of a tensor that a case states as a proto; anything else as it is."""
    return numpy_helper.to_array(content) if isinstance(content, onnx.TensorProto) else content


def _numbered(folder: Path, stem: str) -> list[Path]:
    return sorted(folder.glob(f"{stem}_*.pb"), key=lambda path: int(path.stem.rsplit("_", 1)[1]))


def _ramps(graph: onnx.GraphProto) -> list[np.ndarray]:
    """What the suite feeds to models without inputs in files: numbers that rise from 0 to 1."""
    weights = {tensor.name for tensor in graph.initializer}
    types = [value.type.tensor_type for value in graph.input if value.name not in weights]
    shapes = [[dim.dim_value for dim in tensor.shape.dim] for tensor in types]
    return [
        (np.arange(np.prod(shape)) / np.prod(shape)).reshape(shape).astype(np.float32)
        for shape in shapes
    ]


def _read(path: Path, type_proto: onnx.TypeProto | None = None) -> Any:
    data = path.read_bytes()
    match type_proto and type_proto.WhichOneof("value"):
        case "sequence_type":
            return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
        case "optional_type":
            return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
        case "map_type":
            return numpy_helper.to_dict(onnx.MapProto.FromString(data))
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))


@cache
def all_cases() -> tuple[Case, ...]:
    """Every case of the suite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(
            Case(source.name, kind, source)
            for kind in KINDS
            for source in load_model_tests(kind=kind)
        )


def assert_equal(
    actual: Any, expected: Any, where: str = "output", rtol: float = RTOL, atol: float = ATOL
) -> None:
    """Floats agree to the suite's tolerance, everything else exactly; types and shapes always.

    Numbers of 16 bits may differ by two units in the last place: the expected ones are rounded
    after every step of the operator, ours only where the kernel rounds.
    """
    if expected is None or actual is None:
        assert actual is None and expected is None, f"{where}: {actual!r} against {expected!r}"
    elif isinstance(expected, dict):
        assert actual == expected, where
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected), where
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            assert_equal(a, e, f"{where}[{i}]", rtol, atol)
    else:
        _assert_arrays_equal(np.asarray(actual), np.asarray(expected), where, rtol, atol)


def _assert_arrays_equal(
    actual: np.ndarray, expected: np.ndarray, where: str, rtol: float, atol: float
) -> None:
    assert actual.shape == expected.shape, f"{where}: {actual.shape} against {expected.shape}"
    if expected.dtype.kind in "OSU":
        assert actual.reshape(-1).tolist() == [_text(t) for t in expected.reshape(-1).tolist()], (
            where
        )
        return
    assert actual.dtype == expected.dtype, f"{where}: {actual.dtype} against {expected.dtype}"
    if expected.dtype.kind in "biu":
        np.testing.assert_array_equal(actual, expected, err_msg=where)
        return
    rtol = max(rtol, 2 * EPSILON.get(expected.dtype.name, 0.0))
    is_small = np.dtype(expected.dtype).type.__module__ == ml_dtypes.__name__
    kind = np.float32 if is_small else expected.dtype
    np.testing.assert_allclose(
        actual.astype(kind), expected.astype(kind), rtol=rtol, atol=atol, err_msg=where
    )


def _text(text: str | bytes) -> str:
    return text.decode() if isinstance(text, bytes) else text
