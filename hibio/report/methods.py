"""Who is who among the methods of a table, and which way a metric is better."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hibio.evaluation.baselines import is_control
from hibio.evaluation.rows import Row

ROLES = ("model", "untrained", "baseline", "control", "published")
"""In the order of the columns. A control knows more or less than a method may; it wins nothing."""

_ROLES = (
  ("model", re.compile(r"hibio\b")),
  ("untrained", re.compile(r"untrained\b")),
  ("control", re.compile(r"(shuffled|guess|random)\b")),
)

_LOWER = re.compile(
  r"^(loss|mse|mae|rmse|chaos|pas)\b|^(loss|mse|mae|rmse)_|median_rank|housekeeping|_error"
)

_SEEN = ("image", "gene", "fused")


def role(row: Row, model_methods: Sequence[str] = ()) -> str:
  """One of `ROLES`.

  Args:
    model_methods: further names that stand for the model, e.g. the keyword score it was trained
      with.
  """
  if "not rerun" in row.note or row.method.startswith("published"):
    return "published"
  if row.method in model_methods:
    return "model"
  if is_control(row.method):
    return "control"
  return next((name for name, start in _ROLES if start.match(row.method)), "baseline")


def seen(method: str) -> str:
  """What the method has seen: "image", "gene", "fused" or "" where its name does not say."""
  what = method.partition("/")[2].partition("@")[0]
  return what if what in _SEEN else ""


def seen_in_words(what: str) -> str:
  """`seen` for a reader."""
  return {"image": "from H&E", "gene": "from expression", "fused": "from both"}.get(what, "")


def lower_is_better(metric: str) -> bool:
  """Losses, errors, ranks and the like."""
  return _LOWER.search(metric) is not None
