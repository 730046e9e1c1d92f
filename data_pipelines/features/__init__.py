"""Features of spots from a frozen, pretrained image encoder: kept, read and imported."""
