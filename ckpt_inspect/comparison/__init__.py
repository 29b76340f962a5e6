"""Two or more checkpoints -> what happened in between."""
