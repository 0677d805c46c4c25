"""What the comparison with ONNX Runtime leaves out of text and images."""

import sys
from typing import Any

import numpy as np
import pytest

from hetu.errors import HetuError
from hetu.onnx import load_onnx
from hetu.runtime.executor import Executor
from tests.support.examples import Call
from tests.test_versions import build


def run(op_type: str, version: int, x: np.ndarray, **attributes: Any) -> Any:
    """The first output of a model of one node."""
    model = load_onnx(build(Call([x], attributes), "", op_type, version))
    executor = Executor(list(model.outputs.values()))
    return executor.run(feed_dict={"x0": x}, convert_to_numpy_ret_vals=True)[0]


def test_no_pattern_takes_long() -> None:
    """Backtracking would not come to an end here."""
    pytest.importorskip("re2")
    texts = np.array(["a" * 10_000 + "b", "a"], object)
    assert run("RegexFullMatch", 20, texts, pattern="(a|a)*(a|aa)*").tolist() == [False, True]


def test_broken_pattern() -> None:
    pytest.importorskip("re2")
    with pytest.raises(HetuError, match="no RE2 pattern"):
        run("RegexFullMatch", 20, np.array(["a"], object), pattern="(")


@pytest.mark.parametrize(
    ("module", "op_type", "x", "extra"),
    [
        ("re2", "RegexFullMatch", np.array(["a"], object), "text"),
        ("PIL", "ImageDecoder", np.zeros(3, np.uint8), "image"),
    ],
)
def test_missing_package(
    module: str, op_type: str, x: np.ndarray, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    attributes = {"pattern": "never seen before"} if module == "re2" else {}
    with pytest.raises(HetuError, match=rf"pip install hetu-onnx\[{extra}\]"):
        run(op_type, 20, x, **attributes)


@pytest.mark.parametrize("stream", [b"", b"no image", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_no_image(stream: bytes) -> None:
    """What cannot be decoded is an image without pixels."""
    y = run("ImageDecoder", 20, np.frombuffer(stream, np.uint8), pixel_format="Grayscale")
    assert y.shape == (0, 0, 1)
