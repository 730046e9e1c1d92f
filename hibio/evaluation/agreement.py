"""How two partitions of the same spots agree, all from one table of the spots they have in common.

The figures are those of scikit-learn, whose functions make the table once each and look at every
label for anything odd; here thousands of small partitions are scored.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import expected_mutual_information

Table = Int[np.ndarray, "label domain"]
"""Spots of each label in each domain; no row and no column is empty."""


def contingency(labels: Int[np.ndarray, " spot"], domains: Int[np.ndarray, " spot"]) -> Table:
  """The table of two partitions, whatever numbers they are written in, in the order of these."""
  rows, columns = (np.unique(one, return_inverse=True)[1] for one in (labels, domains))
  shape = rows.max() + 1, columns.max() + 1
  return np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape)


def agreement(table: Table) -> dict[str, float]:
  """ARI, NMI, AMI (both with the arithmetic mean) and homogeneity; 1 is perfect.

  References:
    Hubert & Arabie 1985, doi 10.1007/BF01908075; Vinh, Epps & Bailey 2010 (JMLR 11).
  """
  spots = int(table.sum())
  labels, domains = table.sum(1), table.sum(0)
  of_labels, of_domains = _entropy(labels / spots), _entropy(domains / spots)
  common = _common(table, labels, domains, spots)
  return {
    "ari": ari(table),
    "nmi": 2 * common / (of_labels + of_domains) if of_labels + of_domains else 1.0,
    "ami": _ami(table, common, (of_labels + of_domains) / 2),
    "homogeneity": common / of_labels if of_labels else 1.0,
  }


def ari(table: Table) -> float:
  """The adjusted Rand index: pairs of spots that both partitions keep together, beyond chance."""
  together = int((table**2).sum())
  same_label, same_domain = int((table.sum(1) ** 2).sum()), int((table.sum(0) ** 2).sum())
  spots = int(table.sum())
  true_positive, false_positive = together - spots, same_domain - together
  false_negative = same_label - together
  true_negative = spots**2 - same_label - same_domain + together
  if not (false_positive or false_negative):
    return 1.0
  beyond = 2.0 * (true_positive * true_negative - false_negative * false_positive)
  return beyond / (
    (true_positive + false_negative) * (false_negative + true_negative)
    + (true_positive + false_positive) * (false_positive + true_negative)
  )


def layer_f1(table: Table) -> Float[np.ndarray, " label"]:
  """F1 of each label after giving each at most one domain.

  The one-to-one matching has the most spots in common; a label without a domain scores 0.
  """
  layers, domains = linear_sum_assignment(-table)
  f1 = np.zeros(len(table))
  f1[layers] = 2 * table[layers, domains] / (table.sum(1)[layers] + table.sum(0)[domains])
  return f1


def _entropy(shares: Float[np.ndarray, " part"]) -> float:
  return float(-(shares * np.log(shares)).sum()) if len(shares) > 1 else 0.0


def _common(table: Table, labels: np.ndarray, domains: np.ndarray, spots: int) -> float:
  """Mutual information in nats; of a partition with one part it is 0."""
  if min(table.shape) == 1:
    return 0.0
  rows, columns = np.nonzero(table)
  joint = table[rows, columns]
  expected = labels[rows] / spots * domains[columns]
  return max(float((joint / spots * np.log(joint / expected)).sum()), 0.0)


def _ami(table: Table, common: float, mean_entropy: float) -> float:
  if min(table.shape) == 1:
    return float(table.shape == (1, 1))
  chance = expected_mutual_information(table, int(table.sum()))
  return _not_zero(common - chance) / _not_zero(mean_entropy - chance)


def _not_zero(value: float) -> float:
  """With its sign: of a perfect match that chance would make as well, both ends are rounding."""
  tiny = float(np.finfo(float).eps)
  return min(value, -tiny) if value < 0 else max(value, tiny)
