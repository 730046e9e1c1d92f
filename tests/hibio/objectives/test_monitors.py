from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import pdist

from hibio.objectives import monitors
from tests.hibio.fake import unit_vectors


@pytest.fixture
def embedding(rng):
  return unit_vectors(rng, 20, 6)


@pytest.fixture
def mask():
  return np.arange(20) % 5 != 2


@jax.jit
def measure(embedding, other, mask):
  return {
    "effective_rank": monitors.effective_rank(embedding, mask),
    "dimension_std": monitors.dimension_std(embedding, mask),
    "mean_cosine": monitors.mean_cosine(embedding, mask),
    "uniformity": monitors.uniformity(embedding, mask),
    "uniformity_in_blocks": monitors.uniformity(embedding, mask, 5),
    "alignment": monitors.alignment(embedding, other, mask),
  }


def test_monitors_match_numpy_on_the_unmasked_spots(embedding, mask, rng):
  kept, other = embedding[mask], unit_vectors(rng, 20, 6)
  eigenvalues = np.linalg.eigvalsh(np.cov(kept.T, bias=True))
  cosine = kept @ kept.T
  want = {
    "effective_rank": eigenvalues.sum() ** 2 / (eigenvalues**2).sum(),
    "dimension_std": kept.std(0).mean() * np.sqrt(6),
    "mean_cosine": cosine[~np.eye(len(kept), dtype=bool)].mean(),
    "uniformity": np.log(np.exp(-2 * pdist(kept) ** 2).mean()),
    "uniformity_in_blocks": np.log(np.exp(-2 * pdist(kept) ** 2).mean()),
    "alignment": ((kept - other[mask]) ** 2).sum(1).mean(),
  }
  got = measure(*map(jnp.asarray, (embedding, other, mask)))
  for name, value in want.items():
    np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_monitors_tell_collapse_from_spread(rng):
  everyone = jnp.ones(200, bool)
  vectors = unit_vectors(rng, 200, 6)
  of_a_line = np.sign(rng.normal(size=(200, 1))).astype(np.float32) * vectors[:1]
  spread, line, point = (
    measure(jnp.asarray(each), jnp.asarray(vectors), everyone)
    for each in (vectors, of_a_line, vectors[:1].repeat(200, 0))
  )
  assert spread["effective_rank"] > 5
  np.testing.assert_allclose(line["effective_rank"], 1.0, rtol=1e-4)
  assert spread["dimension_std"] > 0.9
  assert point["dimension_std"] < 1e-3
  assert spread["uniformity"] < -2
  np.testing.assert_allclose(point["uniformity"], 0.0, atol=1e-5)
  assert abs(spread["mean_cosine"]) < 0.1
  np.testing.assert_allclose(point["mean_cosine"], 1.0, rtol=1e-5)


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
  values = measure(vectors, vectors, nobody)
  np.testing.assert_array_equal(np.stack(list(values.values())), 0.0)
  np.testing.assert_array_equal(np.stack(monitors.anchor_usage(jnp.abs(vectors), nobody)), 0.0)
