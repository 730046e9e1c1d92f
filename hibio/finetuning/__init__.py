"""A pretrained model learns something more: what, which parameters move, and genes it never had."""
