"""How other projects name what a model folder holds: one ordered table a format."""
