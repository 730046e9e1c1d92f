import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from data_pipelines.problems import BadInputError
from hibio import layout
from hibio.training import sharding


def test_minus_one_takes_the_devices_that_are_left():
  mesh = sharding.make_mesh((-1, 1, 2))
  assert dict(mesh.shape) == {"data": jax.device_count() // 2, "fsdp": 1, "tensor": 2}


@pytest.mark.parametrize("shape", [(64, 1, 1), (-1, 3, 1), (0, 1, 1), (1, 1), (-1, -1, 1)])
def test_a_mesh_that_the_devices_do_not_fill_is_refused(shape):
  with pytest.raises(BadInputError, match=r"training\.mesh"):
    sharding.make_mesh(shape)


def test_a_batch_that_cannot_be_dealt_out_names_sizes_that_can():
  mesh = sharding.make_mesh((2, 2, 1))
  sharding.check_divisible(8, mesh)
  with pytest.raises(BadInputError, match="write 4 or 8, or another"):
    sharding.check_divisible(6, mesh)


@pytest.mark.parametrize(
  ("path", "shape", "spec"),
  [
    ("image/block_0/mlp/up/kernel", (8, 32), P("fsdp", "tensor")),
    ("image/block_0/mlp/down/kernel", (32, 8), P("tensor", "fsdp")),
    ("image/blocks/attention/qkv/kernel", (5, 8, 24), P(None, "fsdp", "tensor")),
    ("opt_state/1/mu/image/block_0/mlp/up/kernel", (8, 32), P("fsdp", "tensor")),
    ("image/block_0/mlp/up/kernel", (8, 33), P("fsdp", None)),
    ("gene_table/embedding", (33, 8), P(None, "fsdp")),
    ("norm/scale", (8,), P()),
    ("opt_state/1/count", (), P()),
  ],
)
def test_rules_cut_the_last_axes_and_leave_whole_what_does_not_divide(path, shape, spec):
  assert layout.spec_of(path, shape, {"data": 1, "fsdp": 2, "tensor": 2}) == spec


def test_a_batch_on_the_mesh_is_the_batch_with_windows_dealt_out():
  mesh = sharding.make_mesh((2, 2, 1))
  batch = {"counts": np.arange(24).reshape(8, 3), "section": np.arange(8)}
  put = sharding.put_batch(batch, mesh)
  np.testing.assert_array_equal(put["counts"], batch["counts"])
  assert put["counts"].addressable_shards[0].data.shape == (2, 3)
  assert jnp.shape(put["section"].addressable_shards[0].data) == (2,)
