"""From files to batches, in three rooms: readers, corpus and instances."""
