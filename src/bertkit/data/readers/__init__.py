"""Files of texts and tables that users have."""
