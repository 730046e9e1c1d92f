import numpy as np

from hibio.evaluation.domain_scores import smooth


def _hexagons(columns=10, rows=10):
  x, y = np.meshgrid(np.arange(columns), np.arange(rows))
  return np.stack([(x + 0.5 * (y % 2)) * 100.0, y * 100 * np.sqrt(3) / 2], -1).reshape(-1, 2)


def test_a_lone_spot_takes_the_label_around_it_and_a_border_stays():
  positions = _hexagons()
  labels = np.where(positions[:, 0] < 500, 3, 8)
  inner = np.flatnonzero((abs(positions - (250, 350)) < 60).all(1))[0]
  noisy = labels.copy()
  noisy[inner] = 8
  assert smooth(noisy, positions)[inner] == 3
  away = np.abs(positions[:, 0] - 500) > 101
  np.testing.assert_array_equal(smooth(labels, positions)[away], labels[away])


def test_smoothing_is_the_vote_of_seven_in_which_four_decide():
  positions = _hexagons() + np.random.default_rng(0).normal(0, 1, (100, 2))
  labels = np.random.default_rng(1).integers(0, 3, 100)
  distances = np.sqrt(((positions[:, None] - positions[None]) ** 2).sum(-1))
  want = labels.copy()
  for spot in range(100):
    voters = np.argsort(distances[spot])[:7]  # the spot itself comes first
    values, votes = np.unique(labels[voters], return_counts=True)
    if votes.max() >= 4:
      want[spot] = values[votes.argmax()]
  got = smooth(labels, positions)
  assert (got != labels).any()
  np.testing.assert_array_equal(got, want)


def test_labels_of_a_single_spot_stay():
  assert smooth(np.array([4]), np.zeros((1, 2))).tolist() == [4]
