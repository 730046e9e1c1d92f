"""Sections -> prepared corpus: splits, gene statistics, regions, windows on disk."""
