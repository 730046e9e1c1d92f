"""Prepared corpus -> batches of NumPy arrays."""
