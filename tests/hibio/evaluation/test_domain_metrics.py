import numpy as np
import pytest

from hibio.evaluation.baselines.neighbours import nearest_spots, spacing_um
from hibio.evaluation.domain_scores import chaos, pas


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


def test_chaos_finds_the_own_domain_however_far_off():
  positions = np.stack([np.arange(89.0), np.zeros(89)], axis=1)
  labels = np.where(np.arange(89) % 44 == 0, 1, 0)  # its three spots have 43 others between them
  step = 1 / positions[:, 0].std()
  assert chaos(labels, positions) == pytest.approx((86 + 3 * 44) * step / 89, abs=1e-9)


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
