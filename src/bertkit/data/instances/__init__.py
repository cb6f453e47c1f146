"""What pre-training draws from prepared shards: instances, masks, batches."""
