import numpy as np
import pytest

from hibio.evaluation.baselines.image import (
  EOSIN,
  HAEMATOXYLIN,
  haematoxylin,
  nuclei_count,
)
from hibio.evaluation.gather import of_patches

SIDE_UM = 112.0


def _stained(blue: np.ndarray, pink: np.ndarray) -> np.ndarray:
  density = blue[..., None] * np.array(HAEMATOXYLIN) + pink[..., None] * np.array(EOSIN)
  return np.clip(256 * 10**-density - 1, 0, 255).round().astype(np.uint8)


def _discs(count: int, um_per_px: float, seed: int, stain: float = 0.6) -> np.ndarray:
  """A patch of `count` nuclei of 8 um that keep a distance of 13 um, on eosin."""
  rng = np.random.default_rng(seed)
  centres: list[np.ndarray] = []
  while len(centres) < count:
    one = rng.uniform(6, SIDE_UM - 6, 2)
    if all(np.hypot(*(one - other)) > 13 for other in centres):
      centres.append(one)
  # Pixels are averages over finer ones, as in a slide scanned at a lower resolution.
  fine = round(um_per_px / 0.25)
  side = int(SIDE_UM / um_per_px)
  at = (np.arange(side * fine) + 0.5) * um_per_px / fine
  y, x = np.meshgrid(at, at, indexing="ij")
  inside = np.zeros(x.shape)
  for cy, cx in centres:
    inside[np.hypot(y - cy, x - cx) < 4] = 1
  blue = inside.reshape(side, fine, side, fine).mean((1, 3))
  return _stained(stain * blue + 0.03, np.full(blue.shape, 0.25))


@pytest.mark.parametrize("um_per_px", [0.5, 3.5])
def test_drawn_nuclei_are_counted_within_a_fifth(um_per_px):
  for seed, count in enumerate((5, 15, 28)):
    (got,) = nuclei_count(_discs(count, um_per_px, seed)[None], um_per_px)
    assert abs(got - count) <= 0.2 * count


def test_discs_paler_than_a_nucleus_are_not_counted():
  assert nuclei_count(_discs(9, 0.5, 0, stain=0.22)[None], 0.5) == 0
  assert nuclei_count(_discs(9, 0.5, 0, stain=0.45)[None], 0.5) == 9


def test_eosin_and_bare_glass_hold_no_nuclei():
  rng = np.random.default_rng(0)
  pink = _stained(np.full((64, 64), 0.05), 0.3 + 0.3 * rng.random((64, 64)))
  glass = rng.integers(235, 256, (64, 64, 3), dtype=np.uint8)
  assert nuclei_count(np.stack([pink, glass]), 0.5).tolist() == [0, 0]


def test_haematoxylin_is_read_back_from_mixed_stains():
  rng = np.random.default_rng(0)
  blue, pink = rng.random((2, 8, 8)) * 0.6
  got = haematoxylin(_stained(blue, pink)[None])[0]
  np.testing.assert_allclose(got, blue * np.linalg.norm(HAEMATOXYLIN), atol=0.02)


def test_statistics_come_one_row_a_patch_under_their_names():
  patches = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
  got = of_patches(patches, 3.5)
  assert {name: values.shape for name, values in got.items()} == {
    "colour": (3, 18), "texture": (3, 21), "nuclei": (3, 1)
  }  # fmt: skip
  assert all(np.isfinite(values).all() for values in got.values())
