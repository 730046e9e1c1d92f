"""AnnData as people have it: where counts, gene names, positions, images and scales are kept.

The same code looks at an object in memory and at a file; counts are read a few rows at a time.
"""
