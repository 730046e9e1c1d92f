"""Sums that correlations are made of.

They add up: moments of sections give those of their donor and of the fold, so that all levels of
pooling come from one pass over the values.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

_CONSTANT = 1e-10
"""Share of the mean square below which a variance is rounding: the gene is constant."""


@dataclasses.dataclass(frozen=True)
class Moments:
  """Sums over spots, one for each gene."""

  count: int
  truth: Float[np.ndarray, " gene"]
  predicted: Float[np.ndarray, " gene"]
  truth_truth: Float[np.ndarray, " gene"]
  predicted_predicted: Float[np.ndarray, " gene"]
  truth_predicted: Float[np.ndarray, " gene"]

  def __add__(self, other: Moments) -> Moments:
    fields = dataclasses.fields(self)
    return Moments(*(getattr(self, f.name) + getattr(other, f.name) for f in fields))


def moments(
  truth: Float[np.ndarray, "spot gene"], predicted: Float[np.ndarray, "spot gene"]
) -> Moments:
  """The moments of these spots, in float64."""
  t, p = truth.astype(np.float64), predicted.astype(np.float64)
  return Moments(
    len(t),
    t.sum(0),
    p.sum(0),
    np.einsum("sg,sg->g", t, t),
    np.einsum("sg,sg->g", p, p),
    np.einsum("sg,sg->g", t, p),
  )


def total(parts: Iterable[Moments]) -> Moments:
  """The moments of all spots of the parts together."""
  return functools.reduce(operator.add, parts)


def pearson(m: Moments) -> Float[np.ndarray, " gene"]:
  """Pearson correlation of each gene; NaN where the truth is constant.

  A constant prediction of a gene that varies scores 0: it says nothing.
  """
  truth, predicted = variances(m)
  covariance = m.truth_predicted / m.count - (m.truth / m.count) * (m.predicted / m.count)
  says = (truth > 0) & (predicted > 0)
  found = np.where(says, covariance / np.sqrt(np.where(says, truth * predicted, 1.0)), 0.0)
  return np.where(truth > 0, np.clip(found, -1.0, 1.0), np.nan)


def variances(m: Moments) -> tuple[Float[np.ndarray, " gene"], Float[np.ndarray, " gene"]]:
  """Variance of the truth and of the prediction; exactly 0 where constant."""
  return (
    _variance(m.truth / m.count, m.truth_truth / m.count),
    _variance(m.predicted / m.count, m.predicted_predicted / m.count),
  )


def _variance(mean, mean_square):
  variance = mean_square - mean**2
  return np.where(variance > _CONSTANT * mean_square, variance, 0.0)


MIN_GENES = 5
_DRAWS = 200


class Coherence(NamedTuple):
  """Pathway coherence beside what random gene sets of the same sizes and overlaps give.

  Attributes:
    value: mean over gene sets of the mean correlation of their genes.
    chance: its expectation when the genes of the sets are reshuffled.
    chance_sd: its standard deviation over such shuffles.
    num_sets: how many sets have enough scored genes.
  """

  value: float
  chance: float
  chance_sd: float
  num_sets: int


def coherence(
  correlation: Float[np.ndarray, " gene"], membership: Bool[np.ndarray, "pathway gene"]
) -> Coherence | None:
  """Coherence over the sets with at least `MIN_GENES` scored genes; None if there is none.

  Args:
    correlation: of each gene with its prediction; NaN for a gene that is not scored.
    membership: genes of each set.
  """
  members = membership & np.isfinite(correlation)[None, :]
  members = members[members.sum(1) >= MIN_GENES]
  if not len(members):
    return None
  # Only genes that some scored set holds: curated genes may be easier than the rest.
  pool = members.any(0)
  shares = members[:, pool] / members.sum(1, keepdims=True)
  weight, values = shares.mean(0), correlation[pool]
  rng = np.random.default_rng(0)
  deals = [float(weight @ rng.permutation(values)) for _ in range(_DRAWS)]
  return Coherence(float(weight @ values), float(values.mean()), float(np.std(deals)), len(members))


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
