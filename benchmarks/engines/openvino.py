"""OpenVINO on the CPU, for the shortest time of one run, in float32."""

import numpy as np
import openvino

from benchmarks.files import ModelFile
from benchmarks.workloads import Feeds, Workload


class Engine:
    def __init__(self, threads: int) -> None:
        self.settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }

    def load(self, workload: Workload, model: ModelFile) -> None:
        self.model = openvino.Core().compile_model(model.path, "CPU", self.settings)

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        return list(self.model(feeds).values())
