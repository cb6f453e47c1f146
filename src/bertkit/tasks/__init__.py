"""The task contract, its families, the benchmark table and metrics."""
