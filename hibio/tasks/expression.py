"""Gene expression from H&E: how well does a frozen image embedding predict a spot's genes?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from hibio.tasks.cohort import Cohort
from hibio.tasks.rows import Row

ALPHAS = tuple(10.0**power for power in range(-1, 6))


def variable_genes(fit: Cohort, num_genes: int = 50) -> np.ndarray:
  """Panel rows of the genes that vary most in the fitting donors' log expression.

  The variance is within sections, so that a difference between donors is no reason to be picked.
  Only genes that every section measures are eligible.
  """
  everywhere = np.all([fit.measured[name] for name, _ in fit.sections()], axis=0)
  variance = np.mean(
    [fit.subset(_mask(fit, rows)).log_expression().var(0) for _, rows in fit.sections()], axis=0
  )
  return np.argsort(-np.where(everywhere, variance, -1), kind="stable")[:num_genes]


def pearson_in_sections(
  cohort: Cohort, truth: Float[np.ndarray, "spot gene"], predicted: Float[np.ndarray, "spot gene"]
) -> tuple[float, int]:
  """Pearson correlation of each gene in each section, averaged; and how many were undefined.

  A gene that is constant in a section (in truth) is left out and counted; a constant prediction
  scores 0.
  """
  scores, undefined = [], 0
  for _, rows in cohort.sections():
    t = truth[rows] - truth[rows].mean(0)
    p = predicted[rows] - predicted[rows].mean(0)
    norm_t, norm_p = np.linalg.norm(t, axis=0), np.linalg.norm(p, axis=0)
    defined = norm_t > 1e-6
    undefined += int((~defined).sum())
    scores.append(((t * p).sum(0) / np.maximum(norm_t * norm_p, 1e-9))[defined])
  return float(np.concatenate(scores).mean()), undefined


def evaluate(
  fit: Cohort, held_out: Cohort, feature: str, genes: np.ndarray, method: str, split: str
) -> Iterator[Row]:
  """Ridge from the feature to library-normalised log expression of `genes`.

  Fitted on `fit`'s donors (penalty by leave-one-out over spots), scored on `held_out`'s.
  """
  scaler = StandardScaler().fit(fit.features[feature])
  ridge = RidgeCV(ALPHAS).fit(scaler.transform(fit.features[feature]), fit.log_expression(genes))
  predicted = ridge.predict(scaler.transform(held_out.features[feature]))
  protocol = f"ridge_cv to log1p(CP10k), {len(genes)} most variable genes"
  yield _row(held_out, genes, predicted, protocol, method, split)


def evaluate_readout(
  held_out: Cohort, readout: str, genes: np.ndarray, method: str, split: str
) -> Iterator[Row]:
  """The model's own readout from the image embedding, with nothing fitted."""
  protocol = f"readout, nothing fitted, {len(genes)} most variable genes"
  yield _row(held_out, genes, held_out.readout[readout][:, genes], protocol, method, split)


def _row(held_out, genes, predicted, protocol, method, split) -> Row:
  value, undefined = pearson_in_sections(held_out, held_out.log_expression(genes), predicted)
  note = f"{undefined} constant genes left out" if undefined else ""
  return Row(
    "expression",
    held_out.dataset,
    protocol,
    split,
    "pearson_in_section",
    method,
    value,
    len(held_out.spots),
    0.0,
    note,
  )


def _mask(cohort: Cohort, rows: np.ndarray) -> np.ndarray:
  mask = np.zeros(len(cohort.spots), bool)
  mask[rows] = True
  return mask
