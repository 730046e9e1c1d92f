"""HiBio-ST: one embedding space for H&E patches and gene expression of tissue spots."""
