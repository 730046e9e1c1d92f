"""How near predicted expression is to the truth in one fold, and what chance would give."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from hibio.tasks.coherence import coherence
from hibio.tasks.moments import Moments, moments, pearson, total, variances


@dataclasses.dataclass(frozen=True)
class Score:
  """One metric in one fold.

  Attributes:
    parts: the group that it was measured in (fold, section or donor) -> value.
    chance: what a prediction that knows nothing of the spot gives.
    note: what a reader should know.
    undefined: how often a gene was constant in a group, and thus left out.
  """

  parts: dict[str, float]
  chance: float
  note: str = ""
  undefined: int = 0


def by_section(
  spots: pd.DataFrame,
  truth: Float[np.ndarray, "spot gene"],
  predicted: Float[np.ndarray, "spot gene"],
) -> dict[str, Moments]:
  """Moments of each section's spots."""
  names = spots["section_id"].to_numpy(str)
  return {
    str(name): moments(truth[names == name], predicted[names == name])
    for name in dict.fromkeys(names)
  }


def correlations(
  held_out: str, sections: Mapping[str, Moments], donor_of: Mapping[str, str]
) -> dict[str, Score]:
  """Pearson correlation of each gene, averaged over genes, at three levels of pooling.

  `pearson_pooled` is over all spots of the fold (as HEST-Bench has it), so that differences between
  sections count; `pearson_in_donor` and `pearson_in_section` are inside each, where they do not.

  Args:
    donor_of: section -> donor.
  """
  donors: dict[str, list[Moments]] = {}
  for section, found in sections.items():
    donors.setdefault(donor_of[section], []).append(found)
  return {
    "pearson_pooled": _mean_pearson({held_out: total(sections.values())}),
    "pearson_in_donor": _mean_pearson({name: total(found) for name, found in donors.items()}),
    "pearson_in_section": _mean_pearson(sections),
  }


def errors(
  held_out: str,
  truth: Float[np.ndarray, "spot gene"],
  predicted: Float[np.ndarray, "spot gene"],
  fit_mean: Float[np.ndarray, " gene"],
) -> dict[str, Score]:
  """Mean squared and absolute error, beside those of predicting the fitting spots' mean."""

  def mean(values):
    return float(np.mean(values, dtype=np.float64))

  error, guess = truth - predicted, truth - fit_mean[None]
  return {
    "mse": Score({held_out: mean(error**2)}, mean(guess**2)),
    "mae": Score({held_out: mean(np.abs(error))}, mean(np.abs(guess))),
  }


def relative_variance(held_out: str, sections: Mapping[str, Moments]) -> dict[str, Score]:
  """Variance of the predictions over that of the truth, averaged over genes.

  1 is right; a probe that shrinks towards the mean comes out lower, the mean itself at 0.
  """
  truth, predicted = variances(total(sections.values()))
  varies = truth > 0
  parts = {held_out: float((predicted[varies] / truth[varies]).mean())} if varies.any() else {}
  return {"relative_variance": Score(parts, 0.0, "1 is right", int((~varies).sum()))}


def pathway_coherence(
  held_out: str, sections: Mapping[str, Moments], membership: Bool[np.ndarray, "pathway gene"]
) -> dict[str, Score]:
  """Mean correlation of a gene set's genes, averaged over sets; beside random sets.

  A gene's correlation is its mean over sections; a gene that no section varies in is not scored.
  Nothing if no set has enough scored genes.
  """
  by_section = np.stack([pearson(found) for found in sections.values()])
  defined = np.isfinite(by_section)
  summed = np.where(defined, by_section, 0.0).sum(0)
  mean = np.where(defined.any(0), summed / np.maximum(defined.sum(0), 1), np.nan)
  found = coherence(mean, membership)
  if found is None:
    return {}
  note = f"{found.num_sets} gene sets; random sets vary by sd {found.chance_sd:.4f}"
  return {"pathway_coherence": Score({held_out: found.value}, found.chance, note)}


def _mean_pearson(groups: Mapping[str, Moments]) -> Score:
  parts, undefined = {}, 0
  for name, found in groups.items():
    value = pearson(found)
    defined = np.isfinite(value)
    undefined += int((~defined).sum())
    if defined.any():
      parts[name] = float(value[defined].mean())
  return Score(parts, 0.0, "", undefined)
