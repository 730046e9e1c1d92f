import numpy as np

from hibio.evaluation.baselines.image import colour_statistics


def test_colour_statistics_see_a_change_of_stain_but_not_of_layout():
  rng = np.random.default_rng(0)
  patches = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
  got = colour_statistics(patches)
  np.testing.assert_allclose(got, colour_statistics(patches[:, ::-1]), rtol=1e-4)
  assert np.abs(got - colour_statistics(patches // 2)).max() > 0.05
