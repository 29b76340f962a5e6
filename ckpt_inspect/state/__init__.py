"""What a layout found, made into the numbers of an optimizer, each with its source."""
