"""Faults made on purpose, and what must become of each."""
