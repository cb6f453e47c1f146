"""The page that says what a fine-tuned model gets right and wrong."""
