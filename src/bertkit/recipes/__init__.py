"""Pre-training and fine-tuning, wired from the floors below."""
