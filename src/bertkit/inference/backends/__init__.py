"""What runs a loaded encoder."""
