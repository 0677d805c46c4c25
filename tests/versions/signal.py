"""Calls of Fourier transforms, windows and mel weights."""

import numpy as np
import onnx

from tests.support.examples import Call, Random, example


@example("DFT")
def dft(random: Random, version: int) -> Call:
    kinds = "complex", "real", "onesided", "inverse", "inverse real", "inverse onesided"
    kind = random.choice(*kinds)
    rank = random.integer(1, 3)
    parts = 1 if kind in ("real", "onesided", "inverse real") else 2
    dtype = random.choice(np.float32, np.float64)
    axis = random.integer(0, rank - 1)
    dims = list(random.shape(rank, high=6))
    dims[axis] += 1
    x = random.floats(*dims, parts, dtype=dtype)
    length = random.choice(None, np.asarray(dims[axis] + random.integer(-1, 3)))
    if kind == "inverse onesided":
        length = random.choice(None, np.asarray(2 * dims[axis] - random.integer(1, 2)))
    attributes = {"inverse": int("inverse" in kind), "onesided": int("onesided" in kind)}
    axis = random.choice(axis, axis - rank - 1)
    if version < 20:
        return Call([x, length], attributes | {"axis": axis}, rtol=1e-3, atol=1e-4)
    return Call([x, length, np.asarray(axis)], attributes, rtol=1e-3, atol=1e-4)


@example("STFT")
def stft(random: Random, version: int) -> Call:
    dtype = random.choice(np.float32, np.float64)
    length, step, frame = random.integer(9, 20), random.integer(1, 5), random.integer(2, 8)
    parts = random.integer(1, 2)
    signal = random.floats(random.integer(1, 3), length, parts, dtype=dtype)
    if parts == 1 and random.choice(True, False):
        signal = signal[..., 0]
    window = random.choice(None, random.floats(frame, dtype=dtype))
    given = None if window is not None and random.choice(True, False) else np.asarray(frame)
    onesided = random.integer(0, 1) if parts == 1 else 0
    inputs = [signal, np.asarray(step), window, given]
    return Call(inputs, {"onesided": onesided}, rtol=1e-3, atol=1e-4)


def window(random: Random, version: int) -> Call:
    size = np.asarray(random.integer(1, 20), dtype=random.choice(np.int32, np.int64))
    kinds = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE
    attributes = {"periodic": random.integer(0, 1), "output_datatype": random.choice(*kinds)}
    return Call([size], random.choice({}, attributes))


for _name in ("HannWindow", "HammingWindow", "BlackmanWindow"):
    example(_name)(window)


@example("MelWeightMatrix")
def mel_weight_matrix(random: Random, version: int) -> Call:
    length, rate = random.choice(64, 128, 400), random.choice(8000, 16000)
    lower, upper = random.integer(0, 300), random.integer(2000, rate // 2)
    inputs = [np.asarray(random.integer(2, 12)), np.asarray(length), np.asarray(rate)]
    edges = [np.asarray(lower, dtype=np.float32), np.asarray(upper, dtype=np.float32)]
    kinds = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE
    attributes = random.choice({}, {"output_datatype": random.choice(*kinds)})
    return Call([*inputs, *edges], attributes)
