"""Pathway coherence: are the genes of a pathway predicted well together?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

MIN_GENES = 5
_DRAWS = 200


class Coherence(NamedTuple):
  """Pathway coherence beside what random gene sets of the same sizes and overlaps give.

  Attributes:
    value: mean over gene sets of the mean correlation of their genes.
    chance: its expectation when the genes of the sets are dealt anew.
    chance_sd: its standard deviation over such deals.
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
