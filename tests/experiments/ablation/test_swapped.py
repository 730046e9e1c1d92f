import numpy as np

from experiments.ablation.swapped import CARRIED, permuted


def _section(windows=5, places=4):
  rng = np.random.default_rng(0)
  mask = np.arange(places)[None] < np.array([4, 4, 4, 3, 1])[:, None]
  number = np.where(mask, np.cumsum(mask).reshape(mask.shape), 0)
  return {
    "patches": (number[..., None, None, None] * np.ones(3)).astype(np.uint8),
    "features": number[..., None] / 2,
    "counts": number[..., None] * 10,
    "has_patch": mask & (number % 3 > 0),
    "has_counts": mask,
    "spot_index": number,
    "positions_um": rng.random((windows, places, 2)),
    "spot_mask": mask,
    "section_index": np.zeros(windows, int),
  }


def test_spots_move_with_all_they_carry_and_places_stay():
  before = _section()
  after = permuted(before, np.random.default_rng(0))
  real = before["spot_mask"]
  assert set(before) - set(CARRIED) == {"positions_um", "spot_mask", "section_index"}
  for name in ("positions_um", "spot_mask", "section_index"):
    np.testing.assert_array_equal(after[name], before[name])
  moved = after["spot_index"][real]
  assert sorted(moved) == sorted(before["spot_index"][real])
  assert (moved != before["spot_index"][real]).mean() > 0.7
  np.testing.assert_array_equal(after["counts"][real][:, 0], 10 * moved)
  np.testing.assert_array_equal(after["features"][real][:, 0], moved / 2)
  np.testing.assert_array_equal(after["patches"][real].reshape(len(moved), -1)[:, 0], moved)
  np.testing.assert_array_equal(after["has_patch"][real], moved % 3 > 0)


def test_padding_stays_padding():
  before = _section()
  after = permuted(before, np.random.default_rng(0))
  for name in CARRIED:
    assert not after[name][~before["spot_mask"]].any()
