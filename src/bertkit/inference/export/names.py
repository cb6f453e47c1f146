"""Names of a graph's inputs and outputs, for those who read graphs without the package that writes them."""
# B sequences, S the longest, H hidden.

from __future__ import annotations

INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS, POSITIONS = "input_ids", "attention_mask", "token_type_ids", "positions"
LAST_HIDDEN_STATE, SENTENCE_EMBEDDING, POOLER_OUTPUT = "last_hidden_state", "sentence_embedding", "pooler_output"
LOGITS, START_LOGITS, END_LOGITS = "logits", "start_logits", "end_logits"
TASK_ROWS, MASKED_LM_ROWS = "task_rows", "masked_lm_rows"
"""Outputs for bertkit's own backends."""
HIDDEN_STATES = "hidden_states."


def hidden_state_output(layer: int) -> str:
    """Name of the output with the hidden states (B, S, H) behind a layer, 0 for the embeddings."""
    return f"{HIDDEN_STATES}{layer}"
