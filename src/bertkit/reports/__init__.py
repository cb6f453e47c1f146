"""Pages of runs, corpora and evaluations."""
