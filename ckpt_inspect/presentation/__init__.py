"""Results in; text, figures, pages and files out."""
