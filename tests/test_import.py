"""`import hetu` brings what graphs need, and leaves to their first use what only some do."""

import subprocess
import sys

SLOW = ("onnxruntime", "openvino", "sympy", "torch._dynamo", "torch._inductor")


def test_what_an_import_brings() -> None:
    code = f"import hetu, sys; print([name for name in {SLOW!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
