import jax
import jax.numpy as jnp
import numpy as np
import optax

from hibio.configs import Stage, TrainingConfig
from hibio.training.optimizer import decayed, learning_rate, make_optimizer, step_sizes

CONFIG = TrainingConfig(
  num_steps=200,
  windows_per_batch=4,
  sections_per_batch=2,
  learning_rate=0.01,
  clip_norm=1e9,
  stages=(Stage("a", 0.4, ("spot",)), Stage("b", 0.3, ("pathway",)), Stage("c", 0.3, ("region",))),
)


def _rates(config) -> np.ndarray:
  return np.asarray(jax.jit(jax.vmap(lambda n: learning_rate(n, config)))(jnp.arange(200)))


def test_the_rate_peaks_after_warm_up_and_ends_near_zero():
  rates = _rates(CONFIG)
  assert rates.argmax() == 9  # 5 % of 200 steps
  np.testing.assert_allclose(rates[9], 0.01, rtol=1e-6)
  assert (np.diff(rates[:10]) > 0).all()
  assert 0 < rates[-1] < 1e-5


def test_the_rate_warms_up_again_where_a_later_stage_begins_and_nowhere_else():
  rates = _rates(CONFIG)
  dips = [step for step in range(11, 200) if rates[step] < 0.5 * rates[step - 1]]
  assert [step for step in dips if step < 190] == [80, 140]
  smooth = _rates(TrainingConfig(**{**CONFIG.__dict__, "rewarm_share": 0.0}))
  np.testing.assert_array_equal(rates[84:140], smooth[84:140])


def test_updates_are_those_of_optax_adamw():
  rng = np.random.default_rng(0)
  params = {"up": {"kernel": rng.normal(size=(3, 4)), "bias": rng.normal(size=4)}}
  params = jax.tree.map(jnp.float32, params)
  gradients = jax.tree.map(lambda p: jnp.float32(rng.normal(size=(4, *p.shape))), params)
  ours = make_optimizer(CONFIG)
  theirs = optax.adamw(
    lambda count: learning_rate(count, CONFIG), b2=0.98, weight_decay=0.05, mask=decayed
  )

  def both(carry, step_and_gradient):
    (one, ours_state, other, theirs_state), (step, gradient) = carry, step_and_gradient
    with jax.numpy_dtype_promotion("standard"):
      direction, ours_state = ours.update(gradient, ours_state, one)
      updates, theirs_state = theirs.update(gradient, theirs_state, other)
      sizes = step_sizes(one, learning_rate(step, CONFIG))
      one = jax.tree.map(lambda p, by, size: p - size * by, one, direction, sizes)
      other = optax.apply_updates(other, updates)
    return (one, ours_state, other, theirs_state), None

  start = (params, ours.init(params), params, theirs.init(params))
  (one, _, other, _), _ = jax.lax.scan(both, start, (jnp.arange(4), gradients))
  for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
    np.testing.assert_allclose(left, right, rtol=1e-5)


def test_only_matrices_decay():
  params = {
    "up": {"kernel": 0, "bias": 0},
    "norm": {"scale": 0},
    "gene_table": {"embedding": 0},
    "anchor_offset": 0,
    "log_scale": 0,
  }
  flat = jax.tree_util.tree_flatten_with_path(decayed(params))[0]
  names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, yes in flat if yes]
  assert names == ["up/kernel"]
