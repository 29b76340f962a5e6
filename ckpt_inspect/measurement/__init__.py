"""Arrays -> figures of a tensor."""
