"""Where checkpoints lie: look at a path, list a folder, read a range of bytes."""
