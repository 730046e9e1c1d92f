"""Zero-shot spatial domains: do clusters of frozen embeddings follow the tissue's own layout?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.preprocessing import StandardScaler

from hibio.tasks.annotation import labelled
from hibio.tasks.cohort import Cohort
from hibio.tasks.rows import Row


def cluster(features: Float[np.ndarray, "spot width"], num_domains: int, seed: int) -> np.ndarray:
  """k-means label of each spot of one section, on standardised features."""
  scaled = StandardScaler().fit_transform(features)
  return KMeans(num_domains, n_init=2, random_state=seed).fit_predict(scaled)


def evaluate(
  cohort: Cohort, feature: str, label: str, method: str, split: str, seeds: int = 3
) -> Iterator[Row]:
  """k-means in each section with k = its number of labels; unlabelled spots are left out first.

  The mean over sections of the mean over seeds; no smoothing of labels.
  """
  cohort = labelled(cohort, label)
  scores = {"ari": [], "nmi": [], "chance": []}
  rng = np.random.default_rng(0)
  for _, rows in cohort.sections():
    truth = cohort.spots[label].to_numpy(str)[rows]
    if len(set(truth)) < 2:
      continue
    for seed in range(seeds):
      found = cluster(cohort.features[feature][rows], len(set(truth)), seed)
      scores["ari"].append(adjusted_rand_score(truth, found))
      scores["nmi"].append(normalized_mutual_info_score(truth, found))
      scores["chance"].append(normalized_mutual_info_score(rng.permutation(truth), found))
  common = ("domains", cohort.dataset, f"k-means in each section, k = labels of {label}", split)
  n = len(scores["ari"]) // seeds
  if not n:
    yield Row(*common, "ari", method, None, 0, None, "no section with two labels")
    return
  spread = f"{n} sections x {seeds} seeds, sd {np.std(scores['ari']):.3f}"
  yield Row(*common, "ari", method, float(np.mean(scores["ari"])), n, 0.0, spread)
  yield Row(
    *common, "nmi", method, float(np.mean(scores["nmi"])), n, float(np.mean(scores["chance"]))
  )
