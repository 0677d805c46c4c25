"""onnx2torch: the file as a torch module, in eager torch.

It imports torchvision for the operators NonMaxSuppression and RoiAlign, which no workload has.
Where torchvision is not installed (it needs the torch that it was built for), an empty module
stands in for it.
"""

import sys
from importlib.util import find_spec
from unittest.mock import MagicMock

from benchmarks.engines import torch as eager
from benchmarks.files import ModelFile
from benchmarks.workloads import Workload

if find_spec("torchvision") is None:
    sys.modules |= {"torchvision": MagicMock(), "torchvision.ops": MagicMock()}

import onnx2torch


class Engine(eager.Engine):
    def load(self, workload: Workload, model: ModelFile) -> None:
        self.module = onnx2torch.convert(model.path).eval()
