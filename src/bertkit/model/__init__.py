"""The encoder, its heads and its folders."""
