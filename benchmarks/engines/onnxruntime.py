"""ONNX Runtime on the CPU, with its default optimizations."""

import numpy as np
import onnxruntime

from benchmarks.files import ModelFile
from benchmarks.workloads import Feeds, Workload


class Engine:
    def __init__(self, threads: int) -> None:
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.options.log_severity_level = 3

    def load(self, workload: Workload, model: ModelFile) -> None:
        self.session = onnxruntime.InferenceSession(
            model.path, self.options, providers=["CPUExecutionProvider"]
        )

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        return [np.asarray(result) for result in self.session.run(None, feeds)]
