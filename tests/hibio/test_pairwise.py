"""The blended target against a loop over spots."""

import jax.numpy as jnp
import numpy as np

from hibio.pairwise import blended

RADIUS = 150.0


def case():
  rng = np.random.default_rng(0)
  positions = rng.random((2, 12, 2)) * 500
  known = rng.random((2, 12)) < 0.8
  return rng.normal(size=(2, 12, 5)).astype(np.float32), positions.astype(np.float32), known


def test_a_share_of_each_spot_is_the_mean_of_known_spots_around_it():
  values, positions, known = case()
  got = np.asarray(
    blended(*map(jnp.asarray, (values, positions, known)), radius_um=RADIUS, share=0.4)
  )
  for window, spot in np.argwhere(known):
    close = np.linalg.norm(positions[window] - positions[window, spot], axis=-1) < RADIUS
    around = values[window][close & known[window]].mean(0)
    want = 0.6 * values[window, spot] + 0.4 * around
    np.testing.assert_allclose(got[window, spot], want, rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(got[~known], values[~known])


def test_what_an_unknown_spot_holds_reaches_nobody():
  values, positions, known = case()
  garbage = np.where(known[..., None], values, 1e3).astype(np.float32)
  keywords = {"radius_um": RADIUS, "share": 0.5}
  got, want = (
    np.asarray(blended(*map(jnp.asarray, (one, positions, known)), **keywords))
    for one in (garbage, values)
  )
  np.testing.assert_array_equal(got[known], want[known])
