"""What oneDNN computes in vectors of 256 bits, on processors that have wider ones, too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hetu import onednn

TESTS = Path(__file__).parent


@pytest.mark.skipif(not onednn.is_available(), reason="oneDNN's library is not there")
@pytest.mark.parametrize("file", ["onednn", "pools", "given_up", "packed_tables"])
def test_vectors_of_256_bits(file: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", TESTS / f"test_{file}.py"]
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    run = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=TESTS.parent)
    assert run.returncode == 0, run.stdout[-4000:]
