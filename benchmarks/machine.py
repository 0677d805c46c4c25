"""What the figures were measured on."""

import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("torch", "onnx", "onnxruntime", "openvino", "onnx2torch", "transformers", "numpy")


def describe() -> dict[str, Any]:
    """Processor, memory and versions."""
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.processor()
