"""Synthetic tissue with planted truth, written as genuine Space Ranger folders.

It stands in for data where there is none, and measures what real data cannot: the true regions,
programs and fields are known.
"""

from __future__ import annotations

from data_pipelines.synthetic.presets import PRESETS, VERSION, Preset
from data_pipelines.synthetic.writing import write

__all__ = ["PRESETS", "VERSION", "Preset", "write"]
