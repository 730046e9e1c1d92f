import jax
import numpy as np
import pytest

from hibio import parameters
from hibio.finetuning.config import FinetuningConfig
from tests.hibio.finetuning import small


@pytest.mark.parametrize("scan", [False, True])
def test_an_adapted_model_begins_bit_for_bit_as_the_model(scan):
  params = small.params(scan)
  adapters = parameters.begin(0, params, rank=2)
  merged = small.names(parameters.merged(params, adapters, scale=2.0))
  for name, leaf in small.names(params).items():
    np.testing.assert_array_equal(merged[name], leaf)


@pytest.mark.parametrize("scan", [False, True])
def test_each_matrix_of_attention_and_mlp_moves_by_its_own_product_and_nothing_else_moves(scan):
  params = small.params(scan)
  rng = np.random.default_rng(0)
  adapters = jax.tree.map(
    lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), parameters.begin(0, params, rank=2)
  )
  added, before = small.names(adapters), small.names(params)
  after = small.names(parameters.merged(params, adapters, scale=0.5))
  moved = {name for name in before if not np.array_equal(after[name], before[name])}
  endings = ("qkv", "out", "up", "down", "query", "key", "value")
  assert moved == {n for n in before if n.endswith(tuple(f"{end}/kernel" for end in endings))}
  assert any("context_gene" in name for name in moved)
  for name in moved:
    place = name.removesuffix("kernel")
    a, b = added[f"{place}a"], added[f"{place}b"]
    blocks = [(a, b, before[name], after[name])] if a.ndim == 2 else zip(
      a, b, before[name], after[name], strict=True
    )  # fmt: skip
    for a_of_block, b_of_block, old, new in blocks:
      np.testing.assert_allclose(new, old + 0.5 * a_of_block @ b_of_block, rtol=1e-5, atol=1e-6)


def test_only_the_parts_that_are_asked_for_are_adapted_and_the_rank_is_theirs():
  adapters = small.names(parameters.begin(0, small.params(), rank=3, parts=("image",)))
  assert {name.split("/")[0] for name in adapters} == {"image"}
  assert all(leaf.shape[-1 if name.endswith("/a") else -2] == 3 for name, leaf in adapters.items())


def test_two_adapters_do_not_begin_alike():
  adapters = small.names(parameters.begin(0, small.params(), rank=2))
  firsts = [np.asarray(leaf).tobytes() for name, leaf in adapters.items() if name.endswith("qkv/a")]
  assert len(set(firsts)) == len(firsts) == 4


def test_plain_parameters_have_the_adapters_in_them_scaled_by_alpha_over_rank():
  params = small.params()
  adapters = jax.tree.map(lambda leaf: leaf + 1, parameters.begin(0, params, rank=2))
  config = FinetuningConfig(rank=2, alpha=6.0)
  whole = {"model": params, "adapters": adapters, "heads": {"annotation": {}}}
  got, want = parameters.plain(whole, config), parameters.merged(params, adapters, 3.0)
  jax.tree.map(np.testing.assert_array_equal, got, want)
  assert parameters.heads(whole) == {"annotation": {}}
  assert parameters.plain({"model": params}, config) is params
