"""Raw tissue sections -> prepared corpus -> batches. NumPy only; no model code."""
