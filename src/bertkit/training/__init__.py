"""The loop, optimiser, schedule, checkpoints and metric log."""
