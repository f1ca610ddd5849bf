"""Looking into a store beside the collectors that write it: find events, read all of them, remove old ones."""
