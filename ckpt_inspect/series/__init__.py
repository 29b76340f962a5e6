"""Folders and patterns -> checkpoints in training order."""
