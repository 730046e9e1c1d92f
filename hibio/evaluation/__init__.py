"""A frozen model's answers: arrays in, `Row`s out. A baseline goes through the same code."""
