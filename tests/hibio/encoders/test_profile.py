"""The profile keeps what profiles have in common, and hears patterned genes most."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hibio.encoders.gene import ProfileReader, profile_sum

GENES, WIDTH = 200, 64


@pytest.fixture(scope="module")
def encode():
  model = ProfileReader(WIDTH)
  table = jnp.asarray(np.random.default_rng(0).normal(0, WIDTH**-0.5, (GENES, WIDTH)), jnp.float32)
  params = model.init(jax.random.key(0), jnp.ones((1, 3, WIDTH)))

  @jax.jit
  def apply(expression, pattern):
    return model.apply(params, profile_sum(expression, pattern, table))

  return lambda expression, pattern: np.asarray(
    apply(jnp.asarray(expression, jnp.float32), jnp.asarray(pattern, jnp.float32))
  )


def test_spots_with_alike_profiles_lie_closer_before_any_training(encode):
  rng = np.random.default_rng(1)
  base, other = rng.normal(size=(2, GENES))
  spots = np.stack([base, base + 0.3 * rng.normal(size=GENES), other])[None]
  found = encode(spots, np.ones(GENES))[0]
  near, far = (np.linalg.norm(found[0] - found[n]) for n in (1, 2))
  assert near < 0.5 * far


def test_a_gene_without_a_pattern_is_hardly_heard(encode):
  spots = np.random.default_rng(2).normal(size=(1, 3, GENES))
  pattern = np.full(GENES, 1e-4)
  pattern[:20] = 0.2
  want = encode(spots, pattern)
  changed = [spots.copy(), spots.copy()]
  changed[0][..., 5] += 3.0
  changed[1][..., 50] += 3.0
  heard, unheard = (np.abs(encode(one, pattern) - want).max() for one in changed)
  assert heard > 10 * unheard
  assert unheard > 0


def test_only_the_proportions_of_patterns_count(encode):
  spots = np.random.default_rng(3).normal(size=(1, 3, GENES))
  pattern = np.random.default_rng(4).random(GENES) + 0.1
  np.testing.assert_allclose(encode(spots, pattern), encode(spots, 7 * pattern), atol=1e-5)
