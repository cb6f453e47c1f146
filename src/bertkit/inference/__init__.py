"""Loading a model folder and using it."""
