"""The models, as torch modules with random weights: one file per family."""
