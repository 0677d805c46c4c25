"""Calls of matrix products."""

import numpy as np

from tests.support.examples import Call, Random, example


@example("MatMul")
def mat_mul(random: Random, version: int) -> Call:
    m, k, n = random.shape(3)
    batch = random.shape(random.integer(0, 2))
    left, right = random.choice(
        ((*batch, m, k), (*random.broadcastable(batch), k, n)),
        ((*random.broadcastable(batch), m, k), (*batch, k, n)),
        ((k,), (*batch, k, n)),
        ((*batch, m, k), (k,)),
        ((k,), (k,)),
    )
    small = [np.int32, np.int64, np.uint32, np.uint64] if version >= 9 else []
    dtype = random.choice(np.float32, np.float64, *small)
    if np.issubdtype(dtype, np.integer):
        low = 0 if np.issubdtype(dtype, np.unsignedinteger) else -5
        return Call([random.integers(*s, low=low, dtype=dtype) for s in (left, right)])
    return Call([random.floats(*s, dtype=dtype) for s in (left, right)])


@example("Gemm")
def gemm(random: Random, version: int) -> Call:
    m, k, n = random.shape(3)
    dtype = random.choice(np.float32, np.float64)
    flips = {"transA": random.integer(0, 1), "transB": random.integer(0, 1)}
    a = random.floats(*((k, m) if flips["transA"] else (m, k)), dtype=dtype)
    b = random.floats(*((n, k) if flips["transB"] else (k, n)), dtype=dtype)
    c = random.floats(*random.choice((m, n), (n,), (1, n), (m, 1), (1,), ()), dtype=dtype)
    factors = {"alpha": random.choice(1.0, 0.5, -2.0), "beta": random.choice(1.0, 0.25, 0.0)}
    has_bias = version < 11 or random.integer(0, 2)
    return Call([a, b, np.asarray(c)] if has_bias else [a, b], {**flips, **factors})


@example("Einsum")
def einsum(random: Random, version: int) -> Call:
    # ONNX Runtime refuses upper-case letters, though its message allows them.
    equation, shapes = random.choice(
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("bij,bjk", [(5, 2, 3), (5, 3, 4)]),
        ("ij->ji", [(2, 3)]),
        ("ii->i", [(3, 3)]),
        ("...ij, ...jk -> ...ik", [(2, 1, 3, 4), (1, 5, 4, 2)]),
        ("zb,bc", [(2, 3), (3, 4)]),
        ("i,j->ij", [(3,), (2,)]),
        ("ij->", [(2, 3)]),
        ("bhid,bhjd,bj->bhi", [(2, 3, 4, 2), (2, 3, 5, 2), (2, 5)]),
    )
    dtype = random.choice(np.float32, np.float64, np.int32, np.int64)
    if np.issubdtype(dtype, np.integer):
        return Call([random.integers(*s, dtype=dtype) for s in shapes], {"equation": equation})
    return Call([random.floats(*s, dtype=dtype) for s in shapes], {"equation": equation})


@example("Det")
def det(random: Random, version: int) -> Call:
    n = random.integer(1, 5)
    return Call([random.floats(*random.shape(random.integer(0, 2)), n, n)])
