"""What predictions of classes are worth: each metric, with the parts that it is made of.

Two readings of every metric: pooled over all held-out spots, where the classes weigh the same, and
per donor, where the donors do. A donor is scored over the classes that it has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from hibio.tasks.predictions import Predictions


@dataclasses.dataclass(frozen=True)
class Score:
  """A metric of some predictions; None where it is not defined.

  Attributes:
    parts: the same for each class, or for each donor.
    spread: standard deviation over donors (n - 1 in the denominator), of at least two.
  """

  value: float | None
  parts: Mapping[str, float] = dataclasses.field(default_factory=dict)
  spread: float | None = None
  note: str = ""


Metric = Callable[[Predictions], Score]


def balanced_accuracy(found: Predictions) -> Score:
  """Mean recall of the classes that are there; `parts` is the recall of each."""
  confusion = found.confusion()
  present = confusion.sum(1) > 0
  return _mean(found, present, np.diag(confusion)[present] / confusion.sum(1)[present])


def macro_f1(found: Predictions) -> Score:
  """Mean F1 of the classes that are there; `parts` is the F1 of each."""
  confusion = found.confusion()
  present = confusion.sum(1) > 0
  return _mean(found, present, _f1(confusion)[present])


def weighted_f1(found: Predictions) -> Score:
  """F1 of the classes that are there, weighted by their spots."""
  confusion = found.confusion()
  return Score(float(np.average(_f1(confusion), weights=confusion.sum(1))))


def auroc(found: Predictions) -> Score:
  """Mean over classes of the area under the ROC curve of the class against all others.

  By the ranks of its scores, ties halved (Mann-Whitney). A class without a spot, or with every
  spot, has none: it is left out and counted.
  """
  truth, ranks = found.truth, rankdata(found.scores, axis=0)
  parts = {}
  for number, name in enumerate(found.classes):
    of_class = ranks[truth == number, number]
    inside, outside = len(of_class), len(truth) - len(of_class)
    if inside and outside:
      parts[name] = float((of_class.mean() - (inside + 1) / 2) / outside)
  undefined = len(found.classes) - len(parts)
  note = f"AUROC undefined for {undefined} of {len(found.classes)} classes" if undefined else ""
  return Score(float(np.mean(list(parts.values()))) if parts else None, parts, note=note)


def per_donor(metric: Metric) -> Metric:
  """The metric of each donor's spots, averaged over donors; those with one class are left out."""

  def scored(found: Predictions) -> Score:
    parts, left_out = {}, []
    for donor, part in donors(found):
      if len(np.unique(part.truth)) < 2:
        left_out.append(donor)
      else:
        parts[donor] = metric(part).value
    values = list(parts.values())
    return Score(
      float(np.mean(values)) if values else None,
      parts,
      float(np.std(values, ddof=1)) if len(values) > 1 else None,
      f"donors with one class left out: {', '.join(left_out)}" if left_out else "",
    )

  return scored


def donors(found: Predictions) -> list[tuple[str, Predictions]]:
  """Each donor's part of the predictions."""
  names = found.spots["donor_id"].to_numpy(str)
  return [(donor, found.subset(names == donor)) for donor in dict.fromkeys(names)]


def even_chance(found: Predictions) -> float | None:
  """Balanced accuracy of guessing evenly among the classes that are there."""
  present = len(np.unique(found.truth))
  return 1.0 / present if present else None


METRICS: Mapping[str, Metric] = {
  "balanced_accuracy": balanced_accuracy,
  "balanced_accuracy_per_donor": per_donor(balanced_accuracy),
  "macro_f1": macro_f1,
  "macro_f1_per_donor": per_donor(macro_f1),
  "weighted_f1": weighted_f1,
  "auroc": auroc,
  "auroc_per_donor": per_donor(auroc),
}


def _mean(found: Predictions, present: np.ndarray, values: Float[np.ndarray, " label"]) -> Score:
  names = np.asarray(found.classes)[present]
  return Score(
    float(values.mean()), {n: float(v) for n, v in zip(names.tolist(), values, strict=True)}
  )


def _f1(confusion: np.ndarray) -> Float[np.ndarray, " label"]:
  """F1 of each class: twice its hits over its true and its predicted spots; 0 without either."""
  return 2 * np.diag(confusion) / np.maximum(confusion.sum(1) + confusion.sum(0), 1)
