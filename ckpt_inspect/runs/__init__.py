"""A run of checkpoints -> analyses -> an HDF5 store."""
