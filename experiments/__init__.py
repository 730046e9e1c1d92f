"""Entries: pretrain, evaluate, benchmarks and notebooks."""
