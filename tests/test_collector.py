"""The garbage collector is as it was after graphs have been made, also after an error."""

import gc

import pytest

import hetu as ht


@pytest.mark.parametrize("enabled", [True, False])
def test_it_is_as_before(enabled: bool) -> None:
    was_enabled = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(ht.ModelError):
            ht.onnx.load_onnx(b"no model")
        assert gc.isenabled() is enabled
        x = ht.Variable(name="x", dtype="float32")
        ht.Executor([ht.op.Relu(x)]).run(feed_dict={x: [[1.0]]})
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()
