from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import pdist

from hibio.objectives import monitors
from tests.hibio.objectives.conftest import unit


@pytest.fixture
def embedding(rng):
  return unit(rng, 20, 6)


@pytest.fixture
def mask():
  return np.arange(20) % 5 != 2


def test_monitors_match_numpy_on_the_unmasked_spots(embedding, mask, rng):
  kept, other = embedding[mask], unit(rng, 20, 6)
  eigenvalues = np.linalg.eigvalsh(np.cov(kept.T, bias=True))
  arrays = jnp.asarray(embedding), jnp.asarray(mask)
  np.testing.assert_allclose(
    monitors.effective_rank(*arrays), eigenvalues.sum() ** 2 / (eigenvalues**2).sum(), rtol=1e-4
  )
  np.testing.assert_allclose(
    monitors.dimension_std(*arrays), kept.std(0).mean() * np.sqrt(6), rtol=1e-4
  )
  cosine = kept @ kept.T
  np.testing.assert_allclose(
    monitors.mean_cosine(*arrays), cosine[~np.eye(len(kept), dtype=bool)].mean(), atol=1e-6
  )
  np.testing.assert_allclose(
    monitors.uniformity(*arrays), np.log(np.exp(-2 * pdist(kept) ** 2).mean()), rtol=1e-4
  )
  np.testing.assert_allclose(monitors.uniformity(*arrays, 5), monitors.uniformity(*arrays))
  np.testing.assert_allclose(
    monitors.alignment(arrays[0], jnp.asarray(other), arrays[1]),
    ((kept - other[mask]) ** 2).sum(1).mean(),
    rtol=1e-5,
  )


def test_monitors_tell_collapse_from_spread(rng):
  everyone = jnp.ones(200, bool)
  spread = jnp.asarray(unit(rng, 200, 6))
  line = jnp.asarray(np.sign(rng.normal(size=(200, 1))) * unit(rng, 1, 6)).astype(jnp.float32)
  point = jnp.broadcast_to(spread[:1], (200, 6))
  assert float(monitors.effective_rank(spread, everyone)) > 5
  np.testing.assert_allclose(monitors.effective_rank(line, everyone), 1.0, rtol=1e-4)
  assert float(monitors.dimension_std(spread, everyone)) > 0.9
  assert float(monitors.dimension_std(point, everyone)) < 1e-3
  np.testing.assert_allclose(monitors.mean_cosine(point, everyone), 1.0, rtol=1e-5)
  np.testing.assert_allclose(monitors.uniformity(point, everyone), 0.0, atol=1e-5)
  assert float(monitors.uniformity(spread, everyone)) < -2


def test_anchor_usage_counts_anchors_that_no_spot_uses(rng):
  probabilities = rng.dirichlet(np.ones(4), 20).astype(np.float32)
  probabilities[:, 3] = 1e-4
  mask = np.arange(20) < 12
  usage, unused = monitors.anchor_usage(jnp.asarray(probabilities), jnp.asarray(mask))
  mean = probabilities[mask].mean(0)
  np.testing.assert_allclose(usage, -(mean * np.log(mean)).sum(), rtol=1e-4)
  assert float(unused) == 1.0


def test_monitors_of_an_empty_batch_are_finite(embedding):
  nobody = jnp.zeros(20, bool)
  vectors = jnp.asarray(embedding)
  values = [
    monitors.effective_rank(vectors, nobody),
    monitors.dimension_std(vectors, nobody),
    monitors.mean_cosine(vectors, nobody),
    monitors.alignment(vectors, vectors, nobody),
    monitors.uniformity(vectors, nobody),
    *monitors.anchor_usage(jnp.abs(vectors), nobody),
  ]
  np.testing.assert_array_equal(np.stack(values), 0.0)
