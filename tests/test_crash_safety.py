"""A full disk or a kill at any point of an export leaves the old model and its data intact."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest

import hetu as ht
from hetu.errors import StorageError, UsageError
from hetu.files import write_file, write_files

MIB = 1 << 20

KILLED = """
import os, random, signal, sys, time
import numpy as np
import onnx
import hetu as ht

def export(path, content):
    x = ht.Variable(name="x")
    weights = [ht.Variable(name=f"w{i}", value=np.full(1 << 18, content, np.float32))
               for i in range(4)]
    y = x + weights[0] + weights[1] + weights[2] + weights[3]
    ht.onnx.export(ht.Executor([y]), [x], [y], path, external_data=True)

def export_until_killed(path):
    content = 0
    while True:
        export(path, content)
        os.write(ready[1], b".")
        content += 1

path, seed, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random = random.Random(seed)
for _ in range(rounds):
    ready = os.pipe()
    child = os.fork()
    if not child:
        export_until_killed(path)
    os.read(ready[0], 1)
    time.sleep(random.uniform(0, 0.06))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    model = onnx.load(path)
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    assert len(arrays) == 4
    assert all((array == arrays[0][0]).all() for array in arrays), "tensors of different exports"
    assert ht.onnx.load_onnx(path).variables["w3"].data.array[-1] == arrays[0][0]
export(path, -1)
print([name for name in os.listdir(os.path.dirname(path)) if name.endswith(".tmp")])
"""


def test_a_kill_at_any_point_leaves_a_whole_model(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "m.onnx"), "0", "40"],
        capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    assert child.stdout.strip() == "[]"  # what killed exports left is gone with the next one


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of some bytes; where it cannot be mounted, the test is skipped."""
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def export(path: Path, content: float, size: int, **options: object) -> onnx.ModelProto:
    x = ht.Variable(name="x")
    y = x + ht.Variable(name="w", value=np.full(size // 4, content, np.float32))
    return ht.onnx.export(ht.Executor([y]), [x], [y], path, **options)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("external_data", [True, False])
@pytest.mark.parametrize("room", [3 * MIB, 4 * MIB, 4 * MIB + 4096], ids=["data", "exact", "model"])
def test_a_full_disk(external_data: bool, room: int, tmp_path: Path) -> None:
    with small_disk(tmp_path, 2 * MIB + room) as folder:
        export(folder / "m.onnx", 1, 2 * MIB - 8192, external_data=external_data)
        before = snapshot(folder)
        with pytest.raises(StorageError, match="No space left.*unchanged.*Free space") as raised:
            export(folder / "m.onnx", 2, 4 * MIB + 8192, external_data=external_data)
        assert raised.value.errno == 28
        assert snapshot(folder) == before
        export(folder / "m.onnx", 3, 2 * MIB - 8192, external_data=external_data)
        assert onnx.numpy_helper.to_array(onnx.load(folder / "m.onnx").graph.initializer[0])[0] == 3


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    with small_disk(tmp_path, MIB) as folder:
        small, large = (
            ht.Executor([ht.Variable(name="w", value=np.ones(size, np.float32)) * 2.0])
            for size in (1000, MIB)
        )
        small.save(str(folder), "checkpoint")
        before = snapshot(folder)
        with pytest.raises(StorageError, match="No space left.*unchanged"):
            large.save(str(folder), "checkpoint")
        assert snapshot(folder) == before


@pytest.mark.parametrize("failing", range(1, 5))
def test_every_step_of_a_commit_may_fail(
    failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Syncs: data, model, the folder with the name of the data, the folder with the model's."""
    export(tmp_path / "m.onnx", 1, MIB, external_data=True)
    before, calls, sync = snapshot(tmp_path), [], os.fsync

    def fail_once(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == failing:
            raise OSError(5, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_once)
    with pytest.raises(StorageError, match="Input/output error"):
        export(tmp_path / "m.onnx", 2, MIB, external_data=True)
    after = snapshot(tmp_path)
    if failing < 4:
        assert after == before
    else:  # written, but nobody knows whether it lasts: then the old data must not go either
        assert before.keys() < after.keys()
    loaded = ht.onnx.load_onnx(tmp_path / "m.onnx").variables["w"].data.array
    assert (loaded == (1 if failing < 4 else 2)).all()


def test_an_interrupt_after_the_commit_takes_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.replace

    def interrupted(source: Path, target: Path) -> None:
        rename(source, target)
        if Path(target).name == "m.onnx":
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(tmp_path / "m.onnx", 7, MIB, external_data=True)
    assert (ht.onnx.load_onnx(tmp_path / "m.onnx").variables["w"].data.array == 7).all()


def test_only_leftovers_of_dead_processes_are_removed(tmp_path: Path) -> None:
    stale = tmp_path / f".a.{'0' * 16}.tmp"
    other = tmp_path / f".b.{'0' * 16}.tmp"
    stale.touch()
    other.touch()

    def write_another(file: object) -> None:
        write_file(tmp_path / "a", lambda inner: inner.write(b"inner"))
        file.write(b"outer")

    write_files([(tmp_path / "a", write_another)])
    assert snapshot(tmp_path) == {"a": b"outer", other.name: b""}


@pytest.mark.parametrize("name", ["none/m.onnx", "file/m.onnx", "x" * 300, "m\0.onnx"])
def test_paths_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        export(tmp_path / name, 1, 4096)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_json_facts_of_a_checkpoint_survive(tmp_path: Path) -> None:
    shared = np.ones(3, np.float32)
    a, b = (ht.Variable(name=n, value=shared) for n in "ab")
    executor = ht.Executor([a + b])
    executor.save(str(tmp_path / "deep" / "er"), others={"epoch": 3})
    assert executor.load(str(tmp_path / "deep" / "er")) == {"epoch": 3}
    assert json.dumps(sorted(os.listdir(tmp_path / "deep" / "er"))) == '["checkpoint"]'
