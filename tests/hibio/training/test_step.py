import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hibio.training import sharding, state
from hibio.training.optimizer import make_optimizer
from hibio.training.step import make_train_step
from tests.hibio.training import toy


@functools.cache
def _compiled(shape, seed=0):
  """The step on a mesh, and what makes its starting point."""
  config, mesh = toy.config(mesh=shape, seed=seed), sharding.make_mesh(shape)

  optimizer = make_optimizer(config)
  begin = state.abstract(jax.eval_shape(toy.init), optimizer, mesh)
  step = make_train_step(
    forward=toy.forward,
    total=toy.total,
    optimizer=optimizer,
    base_weights=dict(toy.OBJECTIVES.weights),
    config=config,
    mesh=mesh,
    state=begin,
  )
  tables = sharding.replicate(toy.tables(), mesh)

  def run(current, batch):
    return step(current, sharding.put_batch(batch, mesh), tables)

  return run, lambda: state.create(toy.init(), optimizer, mesh)


def _train(shape, num_steps):
  run, create = _compiled(shape)
  current, losses, data = create(), [], toy.batches(0)
  for _ in range(num_steps):
    current, metrics = run(current, next(data))
    losses.append(float(metrics["loss"]))
  return current, losses


def test_training_lowers_the_loss():
  _, losses = _train((1, 1, 1), 3)
  again = _train((1, 1, 1), 3)[1]
  assert losses == again  # bit for bit on one mesh
  assert min(losses[1:]) < losses[0]


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1), (2, 1, 2), (1, 2, 2)])
def test_every_mesh_trains_like_one_device(shape):
  one, many = _train((1, 1, 1), 4), _train(shape, 4)
  np.testing.assert_allclose(many[1], one[1], rtol=1e-5)  # the order of sums differs over devices
  for left, right in zip(toy.leaves(many[0].params), toy.leaves(one[0].params), strict=True):
    np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)


def test_a_sharded_matrix_and_its_moments_lie_in_pieces():
  _, create = _compiled((1, 2, 2))
  begin = create()
  flat = jax.tree_util.tree_flatten_with_path(begin)[0]
  kernels = [leaf for path, leaf in flat if "up']['kernel" in jax.tree_util.keystr(path)]
  assert len(kernels) == 3  # the matrix and both of Adam's moments
  for leaf in kernels:
    assert leaf.addressable_shards[0].data.size * 4 == leaf.size


def test_a_step_that_is_not_finite_changes_no_bit_and_is_counted():
  run, create = _compiled((1, 1, 1))
  good = next(toy.batches(0))
  current, metrics = run(create(), good)
  assert int(metrics["skipped"]) == 0
  before = toy.leaves((current.params, current.opt_state))
  current, metrics = run(current, toy.spoilt(good))
  assert not np.isfinite(metrics["loss"])
  for old, new in zip(before, toy.leaves((current.params, current.opt_state)), strict=True):
    np.testing.assert_array_equal(old, new)
  assert (int(current.step), int(current.skipped), int(current.skipped_in_a_row)) == (2, 1, 1)
  current, _ = run(current, good)
  assert (int(current.skipped), int(current.skipped_in_a_row)) == (1, 0)
  assert not np.array_equal(before[-1], toy.leaves((current.params, current.opt_state))[-1])


def test_what_is_compiled_for_one_seed_serves_another():
  (one, create), (other, _) = _compiled((1, 1, 1), seed=0), _compiled((1, 1, 1), seed=1)
  batch = next(toy.batches(0))
  programs = [jax.make_jaxpr(step)(create(), batch).eqns[-1] for step in (one, other)]
  assert [program.primitive.name for program in programs] == ["jit", "jit"]
  assert len({str(program.params["jaxpr"]) for program in programs}) == 1
  assert one(create(), batch)[1]["loss"] != other(create(), batch)[1]["loss"]


def test_what_is_drawn_depends_on_the_step():
  run, create = _compiled((1, 1, 1))
  same = next(toy.batches(0))
  _, first = run(create(), same)
  later = create().replace(step=jnp.int32(1))
  _, second = run(later, same)
  assert float(first["loss/spot"]) != float(second["loss/spot"])


def test_a_new_state_does_not_take_the_callers_parameters_with_it():
  params = toy.init()
  optimizer, mesh = make_optimizer(toy.config()), sharding.make_mesh((1, 1, 1))
  run, _ = _compiled((1, 1, 1))
  run(state.create(params, optimizer, mesh), next(toy.batches(0)))
  assert all(np.isfinite(leaf).all() for leaf in toy.leaves(params))
