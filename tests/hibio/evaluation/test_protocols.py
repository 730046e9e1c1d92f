import numpy as np
import pandas as pd

from hibio.evaluation import expression_probes
from hibio.evaluation.gene_lists import GENE_LISTS, TARGETS

SPOTS = pd.DataFrame()
"""Neither of these probes asks where a fitting spot comes from."""


def test_neighbours_of_a_cluster_predict_its_mean():
  rng = np.random.default_rng(0)
  cluster = np.arange(120) % 2
  features = (cluster[:, None] * 9 + rng.normal(size=(120, 3))).astype(np.float32)
  targets = cluster[:, None] * 5 + rng.normal(size=(120, 4)).astype(np.float32)
  predicted, note = expression_probes.knn(features, SPOTS, features[:2])(targets.astype(np.float32))
  want = [targets[cluster == c].mean(0) for c in (0, 1)]
  np.testing.assert_allclose(predicted, want, atol=0.3)
  assert note == "mean of 50"


def test_retrieval_averages_the_profiles_nearest_by_angle(monkeypatch):
  monkeypatch.setattr(expression_probes, "NEIGHBOURS", 2)
  gallery = np.array([[1, 0], [10, 1], [0, 1], [0, -3]], np.float32)
  profiles = np.array([[1.0], [2.0], [100.0], [200.0]], np.float32)
  query = np.array([[100, 1], [0.1, 5]], np.float32)
  predicted, _ = expression_probes.retrieval(gallery, SPOTS, query)(profiles)
  np.testing.assert_allclose(predicted, [[1.5], [51.0]])


def test_fewer_fitting_spots_than_neighbours_are_all_used():
  few = np.ones((3, 2), np.float32)
  predicted, note = expression_probes.knn(few, SPOTS, few[:1])(
    np.array([[1.0], [2], [6]], np.float32)
  )
  np.testing.assert_allclose(predicted, [[3.0]], rtol=1e-6)
  assert note == "mean of 3"


def test_every_protocol_names_targets_and_lists_that_exist():
  for protocol in expression_probes.PROTOCOLS.values():
    assert set(protocol.targets) <= set(TARGETS)
    assert set(protocol.gene_lists) <= set(GENE_LISTS)
  assert expression_probes.PROTOCOLS["hest_readme"].targets == ("log1p_raw",)
