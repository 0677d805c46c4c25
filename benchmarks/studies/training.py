"""Training steps: forward, backward and SGD with momentum."""

from collections.abc import Iterator

import numpy as np

from benchmarks.measure import Contest, Plan, Row, build

ENGINES = ("torch", "hetu", "torch_channels_last", "torch_compile")

STEPS = 2
"""Before the measurement; their losses have to agree.

The loss of ResNet-50's third step in float32 is already 0.1% from that in float64.
"""

TOLERANCE = 1e-3
"""Of the largest loss."""

PASSES = 3
"""Of the products in a training step, that of the forward pass is one third."""


def measure(plan: Plan) -> Iterator[Row]:
    """A row for each workload and engine."""
    for workload in plan.workloads:
        model = build(plan, workload)
        batch = workload.training_batch
        plan.note(f"{workload.name} x{batch}: training")
        with Contest(plan.among(*ENGINES, workload=workload), plan.threads) as contest:
            losses = contest.ask("train", workload, model, STEPS)
            contest.compare({name: [np.array(loss)] for name, loss in losses.items()}, TOLERANCE)
            times = contest.turns(plan.runs, plan.seconds)
            facts = {"flops": PASSES * model.facts["flops"] * batch}
            yield from contest.rows("training", workload, batch, times, facts)
