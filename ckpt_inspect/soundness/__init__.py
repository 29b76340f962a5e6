"""Whether a checkpoint can be relied on: is it whole, is it complete, does it continue the one before."""
