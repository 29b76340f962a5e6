"""What one checkpoint is."""
