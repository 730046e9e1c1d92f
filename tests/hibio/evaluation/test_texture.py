import numpy as np
import pytest

from hibio.evaluation.baselines.image import colour_statistics, texture_statistics

NAMES = ("gradient", "gradient sd", "aligned", *(f"pattern {n}" for n in range(10)),
         *(f"{of} {way}" for way in ("across", "down")
           for of in ("contrast", "homogeneity", "energy", "correlation")))  # fmt: skip


def _patches(layout: np.ndarray) -> np.ndarray:
  return np.repeat((50 + 150 * layout).astype(np.uint8)[None, :, :, None], 3, axis=3)


@pytest.fixture(scope="module")
def stripes():
  return (np.arange(32)[None, :] // 4 % 2) * np.ones((32, 1))


def _named(patches):
  return dict(zip(NAMES, texture_statistics(patches)[0], strict=True))


def test_two_textures_of_one_colour_are_told_apart(stripes):
  scattered = np.random.default_rng(0).permutation(stripes.ravel()).reshape(32, 32)
  np.testing.assert_allclose(
    colour_statistics(_patches(stripes)), colour_statistics(_patches(scattered)), rtol=1e-5
  )
  ordered, random = _named(_patches(stripes)), _named(_patches(scattered))
  assert ordered["correlation down"] == pytest.approx(1)
  assert abs(random["correlation down"]) < 0.1
  assert ordered["aligned"] > 0.95
  assert random["aligned"] < 0.2
  assert random["contrast across"] > 1.5 * ordered["contrast across"]


def test_co_occurrence_equals_counting_pairs_one_by_one():
  patch = np.random.default_rng(1).integers(0, 256, (9, 7), dtype=np.uint8)
  level = np.repeat(patch[None, :, :, None], 3, 3)
  pairs = [
    (a // 32, b // 32) for row in patch.astype(int) for a, b in zip(row, row[1:], strict=False)
  ]
  pairs = np.array(pairs + [(b, a) for a, b in pairs])
  table = np.zeros((8, 8))
  np.add.at(table, tuple(pairs.T), 1 / len(pairs))
  got = _named(level)
  assert got["contrast across"] == pytest.approx(np.mean(np.diff(pairs) ** 2), rel=1e-5)
  assert got["energy across"] == pytest.approx((table**2).sum(), rel=1e-5)
  assert got["correlation across"] == pytest.approx(np.corrcoef(pairs.T)[0, 1], rel=1e-4)


def test_patterns_do_not_change_when_a_patch_is_turned_or_made_brighter(stripes):
  rng = np.random.default_rng(2)
  patch = _patches(0.5 * stripes + 0.3 * rng.random((32, 32)))
  patterns = [name for name in NAMES if name.startswith("pattern")]
  base, turned = _named(patch), _named(np.ascontiguousarray(np.rot90(patch, axes=(1, 2))))
  bright = _named(patch + 40)
  for name in patterns:
    assert base[name] == pytest.approx(turned[name], abs=1e-6)
    assert base[name] == pytest.approx(bright[name], abs=1e-6)
  assert sum(base[name] for name in patterns) == pytest.approx(1)


def test_parallel_fibres_are_aligned_whichever_way_they_run():
  y, x = np.mgrid[:32, :32]
  for along in (x, y, x + y, 2 * x - y):
    assert _named(_patches((np.sin(along / 3) + 1) / 2))["aligned"] > 0.9


def test_an_empty_patch_gives_finite_numbers():
  assert np.isfinite(texture_statistics(np.full((2, 8, 8, 3), 255, np.uint8))).all()
