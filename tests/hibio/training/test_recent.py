import jax
import jax.numpy as jnp
import numpy as np

from hibio.training import recent

STEP = jax.jit(recent.with_step)


def _after(norms):
  found = recent.none_yet()
  for step, norm in enumerate(norms):
    found = STEP(found, jnp.int32(step), jnp.float32(norm))
  return found


def _usual(number, seed=0):
  return np.exp(0.2 * np.random.default_rng(seed).normal(size=number))


def test_a_norm_far_above_the_usual_is_a_spike_and_one_a_little_above_is_not():
  found = _after(_usual(80))
  assert recent.is_spike(found, jnp.float32(50.0), 6.0)
  assert not recent.is_spike(found, jnp.float32(2.5), 6.0)
  assert not recent.is_spike(found, jnp.float32(50.0), 0.0)


def test_while_little_is_known_nothing_is_a_spike():
  assert not recent.is_spike(_after(_usual(recent.ENOUGH - 1)), jnp.float32(1e6), 6.0)


def test_norms_that_are_larger_for_good_are_soon_usual():
  norms, taken = list(_usual(200)), 0
  for _ in range(10):
    taken += bool(recent.is_spike(_after(norms), jnp.float32(100.0), 6.0))
    norms.append(100.0)
  assert 0 < taken <= 7


def test_skipped_steps_are_counted_as_long_as_they_are_recent():
  norms = [*[1.0] * 10, np.nan, np.inf, *[1.0] * (recent.STEPS - 11)]
  assert recent.skipped(_after(norms)) == 2
  assert recent.skipped(_after([*norms, *[1.0] * 11])) == 0
