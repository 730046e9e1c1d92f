"""A figure of each section, where a task gives it over all spots: units that can be drawn anew."""

from __future__ import annotations

import dataclasses

import numpy as np

from hibio.evaluation import class_metrics
from hibio.evaluation.predictions import Predictions
from hibio.evaluation.rows import Row


def by_section(row: Row, found: Predictions, metric: class_metrics.Metric) -> Row:
  """The metric of each section, averaged over sections; sections with one class are left out."""
  names = found.spots["section_id"].to_numpy(str)
  parts = {}
  for name in dict.fromkeys(names.tolist()):
    own = found.subset(names == name)
    if len(np.unique(own.truth)) > 1:
      parts[name] = metric(own).value
  values = list(parts.values())
  return dataclasses.replace(
    row,
    metric=f"{row.metric}_per_section",
    value=float(np.mean(values)) if values else None,
    spread=float(np.std(values)) if values else None,
    note=row.note if values else "no section has two classes",
    parts=parts,
  )
