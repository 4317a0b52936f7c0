"""From the user's rows to batches: read, recognise, check, deduplicate, split, encode, order."""
