import numpy as np
import pytest
from sklearn.metrics import f1_score

from hibio.evaluation.baselines.neighbours import nearest_spots, spacing_um
from hibio.evaluation.domain_scores import chaos, layer_f1, pas


@pytest.fixture
def tissue():
  """Jittered positions, so that no two distances are equal, and labels in broken bands."""
  rng = np.random.default_rng(0)
  lattice = np.stack(np.meshgrid(np.arange(12), np.arange(9)), -1).reshape(-1, 2) * 100.0
  positions = lattice + rng.normal(0, 5, lattice.shape)
  labels = (lattice[:, 0] // 300).astype(int)
  flipped = rng.random(len(labels)) < 0.15
  return positions, np.where(flipped, rng.integers(0, 4, len(labels)), labels)


def _distances(points):
  distances = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))
  np.fill_diagonal(distances, np.inf)
  return distances


def test_chaos_is_the_mean_distance_to_the_nearest_spot_of_the_own_domain(tissue):
  positions, labels = tissue
  labels = np.where(np.arange(len(labels)) == 5, 9, labels)  # a domain of one spot adds nothing
  scaled = (positions - positions.mean(0)) / positions.std(0)
  total = 0.0
  for label in set(labels.tolist()) - {9}:
    total += _distances(scaled[labels == label]).min(1).sum()
  assert chaos(labels, positions) == pytest.approx(total / len(labels), abs=1e-9)


def test_pas_is_the_share_of_spots_with_most_of_ten_neighbours_in_other_domains(tissue):
  positions, labels = tissue
  nearest = np.argsort(_distances(positions), axis=1)[:, :10]
  abnormal = [sum(labels[j] != labels[i] for j in near) > 5 for i, near in enumerate(nearest)]
  assert 0 < np.mean(abnormal) < 1
  assert pas(labels, positions) == pytest.approx(np.mean(abnormal), abs=1e-9)


def test_coherent_domains_score_lower_than_the_same_domains_dealt_out(tissue):
  positions, labels = tissue
  dealt = np.random.default_rng(1).permutation(labels)
  assert chaos(labels, positions) < chaos(dealt, positions)
  assert pas(labels, positions) < pas(dealt, positions)


def test_layer_f1_is_the_best_one_to_one_naming_of_domains():
  annotated = np.array(["L1", "L1", "L1", "L2", "L2", "L3"])
  found = np.array([7, 7, 3, 3, 3, 3])
  names = np.where(found == 7, "L1", "L2")  # of three layers two find a domain
  want = f1_score(annotated, names, labels=["L1", "L2", "L3"], average=None, zero_division=0)
  assert list(layer_f1(annotated, found)) == ["L1", "L2", "L3"]
  np.testing.assert_allclose(list(layer_f1(annotated, found).values()), want, atol=1e-9)


def test_nearest_spots_are_the_brute_force_ones_and_never_the_spot_itself(tissue):
  positions, _ = tissue
  want = np.argsort(_distances(positions), axis=1)[:, :6]
  np.testing.assert_array_equal(nearest_spots(positions, 6), want)


def test_two_spots_at_one_place_are_neighbours_of_each_other_and_not_of_themselves():
  positions = np.array([[0.0, 0], [0, 0], [0, 0], [50, 0]])
  near = nearest_spots(positions, 2)
  assert all(spot not in others for spot, others in enumerate(near))
  assert {*near[0]} == {1, 2}
  assert nearest_spots(positions, 10).shape == (4, 3)
  assert nearest_spots(positions[:1], 6).shape == (1, 0)
  assert spacing_um(positions) == 50.0
