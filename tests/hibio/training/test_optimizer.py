import jax
import jax.numpy as jnp
import numpy as np
import optax

from hibio.configs import TrainingConfig
from hibio.training.optimizer import decayed, learning_rate, make_optimizer

CONFIG = TrainingConfig(
  num_steps=200, windows_per_batch=4, sections_per_batch=2, learning_rate=0.01, clip_norm=1e9
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
  params = {
    "up": {"kernel": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32), "bias": jnp.ones(4)}
  }
  ours, theirs = make_optimizer(CONFIG), optax.adamw(
    lambda count: learning_rate(count, CONFIG), b2=0.98, weight_decay=0.05, mask=decayed
  )  # fmt: skip
  one, other = params, params
  ours_state, theirs_state = ours.init(one), theirs.init(other)
  with jax.numpy_dtype_promotion("standard"):
    for step in range(4):
      gradient = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), jnp.float32), params)
      direction, ours_state = ours.update(gradient, ours_state, one)
      rate = learning_rate(step, CONFIG)
      one = jax.tree.map(lambda p, d, rate=rate: p - rate * d, one, direction)
      updates, theirs_state = theirs.update(gradient, theirs_state, other)
      other = optax.apply_updates(other, updates)
  np.testing.assert_allclose(one["up"]["kernel"], other["up"]["kernel"], rtol=1e-5)
  np.testing.assert_allclose(one["up"]["bias"], other["up"]["bias"], rtol=1e-5)


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
