"""Data sets from files in their published formats, and data loaders."""

import gzip
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hetu.random
from hetu import data, ir, unpickle
from hetu.api.value import Value
from hetu.api.variable import Variable
from hetu.errors import UsageError
from hetu.runtime.executor import Executor
from hetu.runtime.ndarray import array
from hetu.runtime.update import FeedSource
from tests.support import python2

RANDOM = np.random.default_rng(0)

PICKLERS: dict[str, Callable[[Any], bytes]] = {
    "python 2": python2.dumps,
    **{f"protocol {p}": lambda content, p=p: pickle.dumps(content, p) for p in range(6)},
}

picklers = pytest.mark.parametrize("dumps", PICKLERS.values(), ids=PICKLERS)


@pytest.fixture(autouse=True)
def _seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed of its own for each test."""
    monkeypatch.setattr(hetu.random, "state", hetu.random.SeedState(0))


# Pickles


ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.arange(4, dtype=">i4"),
    "uint8": np.arange(256, dtype=np.uint8),
    "bool": np.array([True, False]),
    "empty": np.zeros((0, 3), np.int64),
    "scalar": np.array(3.5),
    "bytes": np.array([b"ab", b"c"]),
    "strings": np.array(["ab", "\xe9"]),
    "complex": np.array([1 + 2j]),
}


@picklers
@pytest.mark.parametrize("content", ARRAYS.values(), ids=ARRAYS)
def test_arrays(content: np.ndarray, dumps: Callable[[Any], bytes]) -> None:
    written = dumps({"x": [content, (content, 1)]})
    expected = pickle.loads(written, encoding="latin1")["x"][0]
    np.testing.assert_array_equal(expected, content)
    first, (second, one) = unpickle.loads(written)["x"]
    for loaded in (first, second):
        assert type(loaded) is np.ndarray and loaded.dtype == content.dtype.newbyteorder("=")
        np.testing.assert_array_equal(loaded, expected)
        assert loaded.flags.writeable
    assert one == 1


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_with_permuted_axes(protocol: int) -> None:
    content = np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1)
    np.testing.assert_array_equal(unpickle.loads(pickle.dumps(content, protocol)), content)


@pytest.mark.parametrize("protocol", range(6))
def test_containers(protocol: int) -> None:
    content = [{"a": (1, 2.5, None), b"b": [True, "\xe9"]}, {1, 2}, frozenset({3}), np.float32(0.5)]
    content += [np.dtype(">f4"), 2**70, b"\xff"]
    loaded = unpickle.loads(pickle.dumps(content, protocol))
    assert loaded == content
    assert type(loaded[3]) is np.float32


def test_python_2_text_is_latin1() -> None:
    assert unpickle.loads(python2.dumps({"labels": [b"\xe9"]})) == {"labels": ["\xe9"]}


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_other_names_are_refused(tmp_path: Path, protocol: int) -> None:
    path, trace = tmp_path / "evil.pkl", tmp_path / "trace"
    path.write_bytes(pickle.dumps({"x": Calls(Path.touch, trace)}, protocol))
    with pytest.raises(UsageError, match=r"evil.*no pickle of arrays: it uses"):
        unpickle.load(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "name", [b"cos\nsystem\n", b"cbuiltins\neval\n", b"c__builtin__\nexec\n", b"cnumpy\nload\n",
             b"cnumpy.core.multiarray\nfromfile\n", b"\x8c\x05numpy\x8c\x0ddtype.__new__\x93"],
)  # fmt: skip
def test_names_are_refused_as_such(name: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match="it uses"):
        unpickle.loads(b"\x80\x04" + name + b".")


def array_pickle(code: str, state: Any, shape: Any, content: Any) -> bytes:
    """A pickle of an array whose parts need not fit each other."""
    element = b"cnumpy\ndtype\n" + pickle.dumps((code, False, True), 2)[2:-1] + b"R"
    element += pickle.dumps(state, 2)[2:-1] + b"b" if state else b""
    make = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tU\1btR"
    parts = (pickle.dumps(part, 2)[2:-1] for part in (False, content))
    return (
        b"\x80\x02" + make + b"(K\1" + pickle.dumps(shape, 2)[2:-1] + element
        + b"".join(parts) + b"tb."
    )  # fmt: skip


PLAIN = (3, "<", None, None, None, -1, -1, 0)


def test_array_pickle() -> None:
    loaded = unpickle.loads(array_pickle("u2", PLAIN, (2,), b"\1\0\2\0"))
    np.testing.assert_array_equal(loaded, np.array([1, 2], np.uint16))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (array_pickle("O8", PLAIN, (1,), b"\1" * 8), "'O8' are not accepted"),
        (array_pickle("O8", PLAIN, (1,), ["text"]), "'O8' are not accepted"),
        (array_pickle("V8", PLAIN, (1,), b"\1" * 8), "'V8' are not accepted"),
        (array_pickle("f4", (3, "<", None, ("x",), {"x": 1}, 4, 1, 0), (1,), b"\1" * 4), "struct"),
        (array_pickle("f4", PLAIN, (1000,), b"\1" * 4), "reshape"),
        (array_pickle("f4", PLAIN, (1,), [1.0]), "objects"),
        (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tU\1btR.",
            "without",
        ),
    ],
)
def test_dishonest_arrays_are_refused(written: bytes, text: str) -> None:
    with pytest.raises((pickle.UnpicklingError, ValueError), match=text):
        unpickle.loads(written)


def test_shared_parts_are_made_once() -> None:
    """Thirty lists, each with the one before it twice, are 2**30 lists to who copies them all."""
    content: list[Any] = []
    for _ in range(30):
        content = [content, content]
    loaded = unpickle.loads(pickle.dumps(content))
    assert loaded[0] is loaded[1]


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps([1, 2])[:-3], b"\x1f\x8b\x08text"])
def test_broken_pickles(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.pkl").write_bytes(content)
    with pytest.raises(UsageError, match=r"broken\.pkl"):
        unpickle.load(tmp_path / "broken.pkl")


# MNIST


def mnist_pixels(count: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, 28, 28), np.uint8)


def mnist_parts() -> list[tuple[np.ndarray, np.ndarray]]:
    parts = [(mnist_pixels(count), RANDOM.integers(0, 10, count)) for count in (10, 2, 4)]
    return [(x.reshape(-1, 784).astype(np.float32) / 256, y) for x, y in parts]


def write_idx(path: Path, content: np.ndarray, packed: bool) -> None:
    header = struct.pack(f">4B{content.ndim}I", 0, 0, 8, content.ndim, *content.shape)
    written = header + content.astype(np.uint8).tobytes()
    if packed:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(written))
    else:
        path.write_bytes(written)


def write_mnist_idx(folder: Path, parts: list[Any], packed: bool) -> None:
    images = [(x * 256).astype(np.uint8).reshape(-1, 28, 28) for x, _ in parts]
    labels = [y for _, y in parts]
    write_idx(folder / "train-images-idx3-ubyte", np.concatenate(images[:2]), packed)
    write_idx(folder / "train-labels-idx1-ubyte", np.concatenate(labels[:2]), packed)
    write_idx(folder / "t10k-images-idx3-ubyte", images[2], packed)
    write_idx(folder / "t10k-labels-idx1-ubyte", labels[2], packed)


def assert_mnist(loaded: Any, parts: list[Any], onehot: bool) -> None:
    assert len(loaded) == 3
    for (x, y), (expected_x, expected_y) in zip(loaded, parts, strict=True):
        assert (x.dtype, y.dtype) == (np.float32, np.float32 if onehot else np.int64)
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(y, np.eye(10)[expected_y] if onehot else expected_y)


@picklers
@pytest.mark.parametrize("onehot", [True, False])
def test_mnist_pickle(tmp_path: Path, dumps: Callable[[Any], bytes], onehot: bool) -> None:
    parts = mnist_parts()
    (tmp_path / "mnist.pkl.gz").write_bytes(gzip.compress(dumps(tuple(parts))))
    assert_mnist(data.mnist(tmp_path / "mnist.pkl.gz", onehot), parts, onehot)
    assert_mnist(data.mnist(str(tmp_path), onehot), parts, onehot)


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_idx(tmp_path: Path, packed: bool) -> None:
    parts = mnist_parts()
    write_mnist_idx(tmp_path, parts, packed)
    assert_mnist(data.mnist(tmp_path), parts, True)
    assert_mnist(data.mnist(tmp_path, onehot=False), parts, False)


def test_mnist_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = mnist_parts()
    write_mnist_idx(tmp_path, parts, True)
    monkeypatch.chdir(tmp_path)
    assert_mnist(data.mnist(), parts, True)


def test_mnist_is_missing(tmp_path: Path) -> None:
    write_mnist_idx(tmp_path, mnist_parts(), False)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UsageError) as caught:
        data.mnist(tmp_path / "mnist.pkl.gz")
    for part in (str(tmp_path), "mnist.pkl.gz", "train-images-idx3-ubyte", "t10k-labels-idx1"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        [1, 2, 3],
        {"train": 1},
        [(np.zeros((2, 784)), np.zeros(3, int))] * 3,
        [(np.zeros((2, 783)), np.zeros(2, int))] * 3,
        [(np.zeros((2, 784)), np.zeros(2))] * 3,
        [(np.zeros((2, 784)), np.array(1))] * 3,
        [(np.zeros((2, 784)), [[1], [2, 3]])] * 3,
    ],
)
def test_mnist_pickle_of_something_else(tmp_path: Path, content: Any) -> None:
    (tmp_path / "mnist.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(UsageError, match=r"mnist\.pkl.*three pairs"):
        data.mnist(tmp_path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\0\0\x08\3", "no idx file"),
        (b"", "no idx file"),
        (b"\0\0\x07\1\0\0\0\1\1", "no idx file"),
        (b"\0\0\x08\3" + struct.pack(">3I", 12, 28, 28) + bytes(100), "100 bytes for shape"),
        (b"\0\0\x08\3" + struct.pack(">3I", 2, 28, 28) + bytes(2 * 784), "belong together"),
        (b"\0\0\x08\1" + struct.pack(">I", 12) + bytes(12), "belong together"),
    ],
)
def test_mnist_idx_is_broken(tmp_path: Path, content: bytes, text: str) -> None:
    write_mnist_idx(tmp_path, mnist_parts(), False)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(UsageError, match=text):
        data.mnist(tmp_path)


# CIFAR


def cifar_batch(count: int, classes: int) -> dict[str, Any]:
    images = RANDOM.integers(0, [[100]] * 1024 + [[180]] * 1024 + [[256]] * 1024, (3072, count))
    labels = RANDOM.integers(0, classes, count).tolist()
    fields: dict[str, Any] = {"data": images.T.astype(np.uint8), "batch_label": "a batch"}
    if classes == 10:
        return {**fields, "labels": labels}
    return {**fields, "fine_labels": labels, "coarse_labels": [0] * count}


def write_cifar(folder: Path, classes: int, dumps: Callable[[Any], bytes]) -> list[Any]:
    """Writes the files; returns the training and test images and labels."""
    folder.mkdir(exist_ok=True)
    names = [f"data_batch_{i}" for i in range(1, 6)] if classes == 10 else ["train"]
    train = [cifar_batch(4, classes) for _ in names]
    test = [cifar_batch(3, classes)]
    for name, batch in zip([*names, "test_batch" if classes == 10 else "test"], train + test,
                           strict=True):  # fmt: skip
        (folder / name).write_bytes(dumps(batch))
    label = "labels" if classes == 10 else "fine_labels"
    arrays = []
    for batches in (train, test):
        arrays.append(np.concatenate([b["data"] for b in batches]).reshape(-1, 3, 32, 32))
        arrays.append(np.concatenate([b[label] for b in batches]))
    return arrays


def with_byte_keys(content: dict[str, Any]) -> bytes:
    return pickle.dumps({key.encode(): value for key, value in content.items()})


cifar_picklers = pytest.mark.parametrize(
    "dumps",
    [python2.dumps, pickle.dumps, with_byte_keys],
    ids=["python 2", "python 3", "byte keys"],
)


@cifar_picklers
@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("is_inside", [True, False])
def test_cifar(
    tmp_path: Path, classes: int, is_inside: bool, dumps: Callable[[Any], bytes]
) -> None:
    inner = "cifar-10-batches-py" if classes == 10 else "cifar-100-python"
    folder = tmp_path / inner if is_inside else tmp_path
    train_x, train_y, test_x, test_y = write_cifar(folder, classes, dumps)
    load = data.cifar10 if classes == 10 else data.cifar100
    for onehot in (True, False):
        loaded = load(str(tmp_path), onehot)
        expected = (
            (train_x, np.eye(classes)[train_y], test_x, np.eye(classes)[test_y])
            if onehot
            else (train_x, train_y, test_x, test_y)
        )
        assert [x.dtype for x in loaded] == [np.float32, np.float32 if onehot else np.int64] * 2
        for actual, array_ in zip(loaded, expected, strict=True):
            np.testing.assert_array_equal(actual, array_)


@pytest.mark.parametrize("classes", [10, 100])
def test_normalized_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: int) -> None:
    arrays = write_cifar(tmp_path / f"CIFAR_{classes}", classes, pickle.dumps)
    train_x, train_y, test_x, _ = arrays
    mean = train_x.mean((0, 2, 3), keepdims=True, dtype=np.float64)
    deviation = train_x.astype(np.float64).std((0, 2, 3), keepdims=True)
    monkeypatch.chdir(tmp_path)
    loaded = data.normalize_cifar(classes)
    in_place = data.normalize_cifar(classes, directory=tmp_path / f"CIFAR_{classes}")
    by_tensorflow = data.tf_normalize_cifar(classes, onehot=False)
    for i, images in ((0, train_x), (2, test_x)):
        # pixels below 256 minus the mean, rounded to float32 twice and divided by at least 25
        expected = (images - mean) / deviation
        assert loaded[i].dtype == np.float32
        np.testing.assert_allclose(loaded[i], expected, rtol=2**-21, atol=2**-19)
        np.testing.assert_array_equal(in_place[i], loaded[i])
        np.testing.assert_array_equal(by_tensorflow[i], loaded[i].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(loaded[1], np.eye(classes)[train_y])
    np.testing.assert_array_equal(by_tensorflow[1], train_y)


def test_cifar_is_missing(tmp_path: Path) -> None:
    write_cifar(tmp_path, 10, pickle.dumps)
    (tmp_path / "data_batch_3").unlink()
    with pytest.raises(UsageError) as caught:
        data.cifar10(tmp_path)
    for part in (str(tmp_path), "data_batch_3", "test_batch", "cifar-10-batches-py"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        [1],
        {"data": np.zeros((2, 3072), np.uint8)},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [1]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": ["a", "b"]},
        {"data": np.zeros((2, 3072), np.float32), "labels": [1, 2]},
        {"data": np.zeros((2, 3000), np.uint8), "labels": [1, 2]},
    ],
)
def test_cifar_is_broken(tmp_path: Path, content: Any) -> None:
    write_cifar(tmp_path, 10, pickle.dumps)
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps(content))
    with pytest.raises(UsageError, match=r"data_batch_2.* hold"):
        data.cifar10(tmp_path)


def test_only_two_cifars() -> None:
    with pytest.raises(UsageError, match="10 or 100"):
        data.normalize_cifar(20)


def test_one_hot() -> None:
    rows = data.convert_to_one_hot([2, 0])
    assert rows.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert data.convert_to_one_hot(np.array([[1], [0]]), 4).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]
    assert data.convert_to_one_hot([], 3).shape == (0, 3)


@pytest.mark.parametrize("labels", [[3], [-1]])
def test_one_hot_of_other_labels(labels: list[int]) -> None:
    with pytest.raises(UsageError, match="3 classes"):
        data.convert_to_one_hot(labels, 3)


# Data loaders


def batches(loader: data.Dataloader, count: int) -> list[list[float]]:
    return [loader.get_arr().tolist() for _ in range(count)]


def test_batches() -> None:
    loader = data.Dataloader(np.arange(7.0), 3)
    assert (loader.samples_num, loader.batch_num, loader.last_batch_size) == (7, 2, 3)
    assert loader.get_batch_num() == 2
    assert batches(loader, 3) == [[0, 1, 2], [3, 4, 5], [0, 1, 2]]


def test_last_batch_is_kept() -> None:
    loader = data.Dataloader(np.arange(7.0), 3, drop_last=False)
    assert (loader.samples_num, loader.batch_num, loader.last_batch_size) == (7, 3, 1)
    assert batches(loader, 4) == [[0, 1, 2], [3, 4, 5], [6], [0, 1, 2]]


@pytest.mark.parametrize("drop_last", [True, False])
def test_whole_batches(drop_last: bool) -> None:
    loader = data.Dataloader(np.arange(6.0), 3, drop_last=drop_last)
    assert (loader.batch_num, loader.last_batch_size) == (2, 3)


def test_one_small_batch() -> None:
    loader = data.Dataloader(np.arange(2.0), 3, drop_last=False)
    assert (loader.batch_num, loader.last_batch_size) == (1, 2)


def test_peeking() -> None:
    loader = data.Dataloader(np.arange(4.0), 2)
    assert loader.get_next_arr().tolist() == loader.get_next_arr().tolist() == [0, 1]
    assert batches(loader, 1) == [[0, 1]]
    assert loader.get_next_arr().tolist() == [2, 3]


def test_shape_and_type() -> None:
    loader = data.Dataloader(np.zeros((5, 3, 8, 8), np.uint8), 2, dtype=np.int32)
    assert loader.shape == loader.get_arr().shape == (2, 3, 8, 8)
    assert loader.get_arr().dtype == np.int32
    assert data.Dataloader(np.arange(4), 2).get_arr().dtype == np.float32


def test_chunks_are_joined() -> None:
    chunks = [np.arange(3.0), np.arange(3.0, 5)]
    doubled = data.Dataloader(chunks, 5, func=lambda chunk: chunk * 2 + len(chunk))
    assert batches(data.Dataloader(tuple(chunks), 5), 1) == [[0, 1, 2, 3, 4]]
    assert batches(doubled, 1) == [[3, 5, 7, 8, 10]]
    assert data.Dataloader([array([1, 2]), array([3])], 3).get_arr().tolist() == [1, 2, 3]


def test_lists_of_numbers() -> None:
    assert data.Dataloader([[1, 2], [3, 4]], 2).get_arr().tolist() == [[1, 2], [3, 4]]


def test_functions() -> None:
    loader = data.Dataloader(
        np.arange(6.0), 2, func=lambda chunk: chunk - 1, batch_func=lambda batch: batch[:, None] / 2
    )
    assert batches(loader, 2) == [[[-0.5], [0]], [[0.5], [1]]]


def test_shuffle_permutes_batches() -> None:
    hetu.random.set_random_seed(5)
    loader = data.Dataloader(np.arange(60.0), 3, shuffle=True, drop_last=False)
    in_order = np.arange(60.0).reshape(20, 3).tolist()
    epochs = [batches(loader, 20) for _ in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == in_order and epoch != in_order
    assert epochs[0] != epochs[1] != epochs[2]
    hetu.random.set_random_seed(5)
    assert batches(data.Dataloader(np.arange(60.0), 3, shuffle=True), 20) == epochs[0]
    hetu.random.set_random_seed(6)
    assert batches(data.Dataloader(np.arange(60.0), 3, shuffle=True), 20) != epochs[0]


def test_shuffled_loaders_stay_together() -> None:
    images = data.Dataloader(np.arange(40.0).reshape(20, 2), 3, shuffle=True, drop_last=False)
    labels = data.Dataloader(np.arange(20), 3, shuffle=True, drop_last=False, dtype=np.int64)
    for _ in range(20):
        x, y = images.get_arr(), labels.get_arr()
        np.testing.assert_array_equal(x, np.stack([2 * y, 2 * y + 1], 1))


def test_position() -> None:
    loader = data.Dataloader(np.arange(10.0), 2, offset=3)
    assert batches(loader, 3) == [[6, 7], [8, 9], [0, 1]]
    loader.set_batch_index(4)
    assert batches(loader, 2) == [[8, 9], [0, 1]]


def test_position_in_a_shuffled_epoch() -> None:
    loader = data.Dataloader(np.arange(10.0), 2, shuffle=True)
    batches(loader, 5)
    epoch = batches(loader, 5)
    loader.set_batch_index(0)
    third = batches(loader, 5)
    again = data.Dataloader(np.arange(10.0), 2, shuffle=True, offset=5)
    assert batches(again, 5) == epoch
    assert batches(again, 5) == third


def test_data_parallel() -> None:
    loaders = [data.Dataloader(np.arange(11.0), 2) for _ in range(2)]
    for rank, loader in enumerate(loaders):
        loader.set_dp_rank(rank, 2)
    assert [loader.samples_num for loader in loaders] == [5, 5]
    assert [batches(loader, 2) for loader in loaders] == [[[0, 1], [2, 3]], [[5, 6], [7, 8]]]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: data.Dataloader(np.arange(3), 0), "at least 1"),
        (lambda: data.Dataloader(np.arange(3), 4, "train"), "'train': 3 samples make no"),
        (lambda: data.Dataloader(np.arange(0), 4, drop_last=False), "0 samples"),
        (lambda: data.Dataloader(np.float32(3), 4), "first axis"),
        (lambda: data.Dataloader(np.arange(4), 2).set_dp_rank(2, 2), "rank 2"),
        (lambda: data.dataloader_op([]), "each subgraph"),
        (lambda: data.dataloader_op([[np.arange(4), 2], [np.arange(4), 2]]), "each subgraph"),
        (
            lambda: data.dataloader_op([
                data.Dataloader(np.arange(4), 2, "a"),
                data.Dataloader(np.arange(4), 2, "b", dtype=np.int32),
            ]),
            "give dtype",
        ),
    ],
)  # fmt: skip
def test_wrong_use(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        make()


# The node


def test_node_is_a_value_and_a_source() -> None:
    node = data.dataloader_op([[np.arange(4.0), 2]])
    assert isinstance(node, Value) and isinstance(node, FeedSource)
    assert isinstance(node + 1, Value)
    assert node.is_feed and node.casts and str(node.type) == "float32[...]"
    graph = ir.graph_of([node + 1])
    assert graph.inputs == (node,)


def test_forms_of_loaders() -> None:
    node = data.dataloader_op([
        data.Dataloader(np.arange(4), 2, "a"),
        [np.arange(4, 8), 2, "b"],
        {"raw_data": np.arange(8, 16), "batch_size": 4, "name": ["c", "d"]},
    ])  # fmt: skip
    assert node.next_batch("a").tolist() == [0, 1]
    assert node.next_batch("b").tolist() == [4, 5]
    assert node.next_batch("c").tolist() == [8, 9, 10, 11]
    assert node.next_batch("d").tolist() == [12, 13, 14, 15]
    assert [node.batch_count(name) for name in "abcd"] == [2, 2, 2, 2]


def test_types() -> None:
    loader = data.Dataloader(np.arange(4), 2, dtype=np.int32)
    assert str(data.dataloader_op([loader]).dtype) == "int32"
    assert str(data.dataloader_op([loader], dtype=np.float16).dtype) == "float16"
    short = data.dataloader_op([[np.array([2**40 + 1]), 1]], dtype=np.int64)
    assert short.next_batch("default").tolist() == [2**40 + 1]


def test_run() -> None:
    x = data.dataloader_op([
        data.Dataloader(np.arange(6.0), 2, "train"),
        data.Dataloader(np.arange(10.0, 13), 2, "validate", drop_last=False),
    ])  # fmt: skip
    y = data.dataloader_op([[np.arange(60, 0, -10), 3, "train"]], np.int32)
    w = Variable("w", [0.5])
    executor = Executor({"train": [x + w, y], "validate": [x + w]})

    def run(name: str) -> list[Any]:
        return [result.asnumpy().tolist() for result in executor.run(name)]

    assert (executor.get_batch_num("train"), executor.get_batch_num("validate")) == (2, 2)
    assert run("train") == [[0.5, 1.5], [60, 50, 40]]
    assert run("validate") == [[10.5, 11.5]]
    assert run("train") == [[2.5, 3.5], [30, 20, 10]]
    assert run("validate") == [[12.5]]
    assert run("train") == [[4.5, 5.5], [60, 50, 40]]
    assert executor.subexecutor["train"].feeds == ()


def test_fed_instead() -> None:
    x = data.dataloader_op([[np.arange(6.0), 2]])
    executor = Executor([x + 1])
    assert executor.run(feed_dict={x: [7, 8, 9]})[0].asnumpy().tolist() == [8, 9, 10]
    assert executor.run()[0].asnumpy().tolist() == [1, 2]


def test_no_loader_for_the_subgraph() -> None:
    x = data.dataloader_op([[np.arange(6.0), 2, "train"]], name="images")
    executor = Executor({"test": [x + 1]})
    with pytest.raises(UsageError, match=r"'images'.*'test'.*it has 'train'"):
        executor.run("test")


# The seed


def test_seed_state() -> None:
    hetu.random.set_random_seed(7)
    assert hetu.random.get_seed_status() == (7, 0)
    hetu.random.step_seqnum(3)
    assert (hetu.random.get_seed(), hetu.random.get_seed_seqnum()) == (7, 3)
    hetu.random.reset_seed_seqnum()
    assert hetu.random.get_seed_status() == (7, 0)


def test_numpy_draws() -> None:
    hetu.random.set_random_seed(7)
    first = hetu.random.get_np_rand().random_sample(5)
    np.testing.assert_array_equal(hetu.random.get_np_rand(2).random_sample(5), first)
    assert hetu.random.get_seed_seqnum() == 2
    assert not np.any(hetu.random.get_np_rand().random_sample(5) == first)
    hetu.random.reset_seed_seqnum()
    np.testing.assert_array_equal(hetu.random.get_np_rand().random_sample(5), first)


def test_seeds_differ_but_come_again() -> None:
    hetu.random.set_random_seed(7)
    seeds = [hetu.random.next_seed() for _ in range(50)]
    hetu.random.set_random_seed(7)
    assert [hetu.random.next_seed() for _ in range(50)] == seeds
    hetu.random.set_random_seed(8)
    assert not set(seeds) & {hetu.random.next_seed() for _ in range(50)}
    assert len(set(seeds)) == 50


@pytest.mark.parametrize("seed", [-1, 1.5, None])
def test_wrong_seed(seed: Any) -> None:
    with pytest.raises(UsageError, match="not negative"):
        hetu.random.set_random_seed(seed)
