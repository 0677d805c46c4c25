"""Tables that are looked up together, where they lie or in a copy: the rows are numpy's."""

import gc
import mmap
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import hetu as ht
from hetu import pages
from hetu.convert import to_torch
from hetu.errors import RunError
from hetu.ops.fused.join import join_tables

COUNT = 5
LARGE = 10001
"""Rows of tables that are read into pages of their own."""


def tables(rows: int, width: int, dtype: type[np.generic] = np.float32) -> list[np.ndarray]:
    """Tables that begin with a page each, one after the other."""
    nbytes = rows * width * np.dtype(dtype).itemsize
    step = -(-nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = pages.empty(COUNT * step)
    made = [memory[i * step : i * step + nbytes].view(dtype) for i in range(COUNT)]
    for index, table in enumerate(made):
        table[:] = np.random.default_rng(index).normal(size=table.shape)
    return [table.reshape(rows, width) for table in made]


def joined(arrays: list[np.ndarray]) -> tuple[np.ndarray, list[slice], bool]:
    """The joined tables, where each lies in there, and whether they lie where they lay."""
    whole, firsts, lasts = join_tables(*map(to_torch, arrays))
    parts = [slice(a, b + 1) for a, b in zip(firsts.tolist(), lasts.tolist(), strict=True)]
    places = {array.ctypes.data for array in arrays}
    return whole.numpy(), parts, whole.data_ptr() in places


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize(("width", "stays"), [(16, True), (64, True), (17, False), (48, False)])
def test_tables_stay_where_they_lie_whole_rows_apart(
    width: int, stays: bool, dtype: type[np.generic]
) -> None:
    given = tables(LARGE, width, dtype)
    whole, parts, is_same = joined(given)
    assert is_same == stays
    for array, part in zip(given, parts, strict=True):
        np.testing.assert_array_equal(whole[part], array)


def test_tables_far_from_each_other_are_copied() -> None:
    given = tables(LARGE, 16)
    given = [given[0], given[-1][: LARGE // 8]]
    whole, parts, is_same = joined(given)
    assert not is_same and whole.shape == (LARGE + LARGE // 8, 16)
    for array, part in zip(given, parts, strict=True):
        np.testing.assert_array_equal(whole[part], array)


@pytest.mark.parametrize("rows", [0, 1])
def test_tables_of_few_rows(rows: int) -> None:
    given = [np.full((rows, 3), 1, np.float32), np.full((2, 3), 2, np.float32)]
    whole, parts, _ = joined(given)
    for array, part in zip(given, parts, strict=True):
        np.testing.assert_array_equal(whole[part], array)


def test_the_memory_stays_while_it_is_used() -> None:
    given = tables(LARGE, 16)
    copies = [array.copy() for array in given]
    whole, parts, is_same = joined(given)
    del given
    gc.collect()
    tables(LARGE, 16)
    assert is_same
    for array, part in zip(copies, parts, strict=True):
        np.testing.assert_array_equal(whole[part], array)


def recommender(path: Path, rows: int, width: int) -> list[np.ndarray]:
    """A file with look-ups in tables, one for each column of its input; the tables."""
    nodes, initializers, arrays = [], [], []
    for index in range(COUNT):
        arrays.append(np.random.default_rng(index).normal(size=(rows, width)).astype(np.float32))
        initializers += [
            numpy_helper.from_array(arrays[-1], f"t{index}"),
            numpy_helper.from_array(np.int64(index), f"c{index}"),
        ]
        nodes += [
            helper.make_node("Gather", ["ids", f"c{index}"], [f"i{index}"], axis=1),
            helper.make_node("Gather", [f"t{index}", f"i{index}"], [f"e{index}"]),
        ]
    nodes.append(helper.make_node("Concat", [f"e{i}" for i in range(COUNT)], ["y"], axis=1))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("ids", TensorProto.INT64, ["N", COUNT])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", COUNT * width])], initializers,
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return arrays


@pytest.mark.parametrize("width", [16, 17])
def test_tables_of_a_file(tmp_path: Path, width: int) -> None:
    arrays = recommender(tmp_path / "model.onnx", LARGE, width)
    model = ht.onnx.load_onnx(tmp_path / "model.onnx")
    executor = ht.Executor(list(model.outputs.values()))
    ids = np.random.default_rng(9).integers(-LARGE, LARGE, (6, COUNT))
    run = lambda: executor.run(feed_dict={"ids": ids}, convert_to_numpy_ret_vals=True)[0]  # noqa: E731
    wanted = np.concatenate([a[i] for a, i in zip(arrays, ids.T, strict=True)], 1)
    np.testing.assert_array_equal(run(), wanted)
    assert any(note.fusion == "embeddings" for note in executor.explain())
    arrays[2] = arrays[2] + 1
    executor.load_dict({"t2": arrays[2]})
    wanted = np.concatenate([a[i] for a, i in zip(arrays, ids.T, strict=True)], 1)
    np.testing.assert_array_equal(run(), wanted)
    with pytest.raises(RunError, match="outside of its table"):
        executor.run(feed_dict={"ids": np.full((1, COUNT), LARGE)})
