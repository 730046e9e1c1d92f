"""One measured number and what is needed to read it."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class Row:
  """One result.

  Attributes:
    task: what was asked, as "retrieval" or "keywords".
    dataset: name of the corpus.
    protocol: how it was measured, named.
    split: the donors it was measured on.
    metric: what was measured.
    method: what was measured: the model, the untrained model or a baseline.
    value: the number; None where it is not defined, with the reason in `note`.
    n: how many spots (or sections, or genes: see the protocol) it rests on.
    chance: what guessing gives.
    note: the reason for a missing value; what a reader should know of the figure.
    spread: standard deviation over what `parts` or the protocol names (folds, seeds, sections).
    parts: the same figure for each fold, section, class or seed it is made of.
  """

  task: str
  dataset: str
  protocol: str
  split: str
  metric: str
  method: str
  value: float | None
  n: int
  chance: float | None
  note: str = ""
  spread: float | None = None
  parts: Mapping[str, float] = dataclasses.field(default_factory=dict)

  def to_json(self) -> dict:
    """A dictionary that strict JSON can hold: not-a-number becomes null."""
    values = dataclasses.asdict(self)
    values["parts"] = {
      name: part if math.isfinite(part) else None for name, part in self.parts.items()
    }
    for name in ("value", "chance", "spread"):
      if values[name] is not None and not math.isfinite(values[name]):
        values[name] = None
        values["note"] = values["note"] or "not a finite number"
    return values


_LOWER = re.compile(
  r"^(loss|mse|mae|rmse|chaos|pas)\b|^(loss|mse|mae|rmse)_|median_rank|housekeeping|single_count|_error"
)

_SEEN = ("image", "gene", "fused")


def seen(method: str) -> str:
  """What the method is given: "image", "gene", "fused" (both); "" where its name says nothing."""
  what = method.partition("/")[2].partition("@")[0]
  return what if what in _SEEN else ""


def lower_is_better(metric: str) -> bool:
  """Losses, errors, ranks and the like."""
  return _LOWER.search(metric) is not None


def spread_of(values: Iterable[float]) -> float | None:
  """Standard deviation of the values that are defined; None of fewer than two: one has none."""
  defined = [value for value in values if math.isfinite(value)]
  return float(np.std(defined)) if len(defined) > 1 else None


def over_parts(parts: Mapping[str, float], *, note: str = "", **named) -> Row:
  """The mean of the parts that are defined, with their standard deviation; None where none is.

  Args:
    named: the other fields of `Row` but `value`, `n` and `spread`.
  """
  values = np.array([value for value in parts.values() if math.isfinite(value)])
  return Row(
    **named,
    value=float(values.mean()) if len(values) else None,
    n=len(values),
    note=note if len(values) else "not defined in any part",
    spread=spread_of(values),
    parts=parts,
  )


def mean_defined(
  values: Float[np.ndarray, "*dims"], axis: int | None = None
) -> float | Float[np.ndarray, "*rest"]:
  """Mean of the values that are defined; not-a-number where none is."""
  defined = np.isfinite(values)
  if axis is None:
    return float(values[defined].mean()) if defined.any() else float("nan")
  count = defined.sum(axis)
  total = np.where(defined, values, 0.0).sum(axis)
  return np.where(count > 0, total / np.maximum(count, 1), np.nan)
