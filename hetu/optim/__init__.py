"""Training: optimizers and learning-rate schedules."""
