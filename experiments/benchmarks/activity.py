"""C6: activity of 50 gene sets in spots of 18,000 genes, against decoupler's linear model.

  python -m experiments.benchmarks.activity

Both score sets from counts in memory, of one section; ours against the section and all genes,
decoupler's t-value of a line through log expression. Scores rank spots alike on real tissue and are
not compared here: that ours is right is checked against its own dense form.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

from data_pipelines.preparation import statistics
from experiments.benchmarks import side_by_side
from experiments.benchmarks.side_by_side import Case, Pair

SETS, GENES, SHARE_SEEN = 50, 18_000, 0.13


def section(quick: bool) -> tuple[scipy.sparse.csr_matrix, np.ndarray, np.ndarray]:
  """(counts, log mean, log deviation) of random spots with 2,400 genes each, as on real tissue."""
  rng = np.random.default_rng(0)
  spots = 100 if quick else 2_000
  counts = scipy.sparse.random(
    spots, GENES, SHARE_SEEN, "csr", np.int32, rng,
    data_rvs=lambda size: rng.geometric(0.4, size).astype(np.int32),
  )  # fmt: skip
  logs = statistics.log_expression(counts)
  mean = np.asarray(logs.mean(axis=0)).ravel()
  square = np.asarray(logs.multiply(logs).mean(axis=0)).ravel()
  return counts, mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def gene_sets() -> np.ndarray:
  """Random sets of 36 to 200 genes."""
  rng = np.random.default_rng(1)
  membership = np.zeros((SETS, GENES), bool)
  for row in membership:
    row[rng.choice(GENES, rng.integers(36, 201), replace=False)] = True
  return membership


def _against_dense(quick: bool) -> Pair:
  counts, mean, deviation = section(quick)
  measured, membership = np.ones(GENES, bool), gene_sets()
  weights = (membership / membership.sum(1, keepdims=True)).T

  def dense() -> np.ndarray:
    z = statistics.standardised(counts, measured, mean, deviation)
    return np.concatenate([part @ weights - part.mean(axis=1, keepdims=True) for part in z])

  return lambda: statistics.activity(counts, measured, mean, deviation, membership), dense


def _against_decoupler(quick: bool) -> Pair:
  import decoupler
  import pandas as pd

  counts, mean, deviation = section(quick)
  measured, membership = np.ones(GENES, bool), gene_sets()
  names = np.array([f"G{n}" for n in range(GENES)])
  pairs = np.argwhere(membership)
  net = pd.DataFrame({"source": [f"S{n}" for n in pairs[:, 0]], "target": names[pairs[:, 1]]})
  logs = pd.DataFrame(statistics.log_expression(counts).toarray(), columns=names)
  return (
    lambda: statistics.activity(counts, measured, mean, deviation, membership),
    lambda: decoupler.mt.ulm(logs, net)[0].to_numpy(),
  )


def _same_shape(ours: np.ndarray, theirs: np.ndarray) -> None:
  assert ours.shape == theirs.shape, f"{ours.shape} and {theirs.shape}"


CASES = (
  Case("C6 pathway activity, 50 sets", "decoupler ulm", goal=10.0, of=_against_decoupler,
       same=_same_shape, needs=("decoupler",)),
  Case("C6 pathway activity, 50 sets, dense", "NumPy, dense", goal=2.0, of=_against_dense),
)  # fmt: skip

if __name__ == "__main__":
  side_by_side.run(__doc__, CASES)
