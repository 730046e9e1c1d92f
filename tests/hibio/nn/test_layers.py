"""Layers that know no biology: against a few lines of NumPy, and what a mask must hide."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hibio.configs import TransformerConfig
from hibio.nn.attention import attend
from hibio.nn.layers import Dense, SeedPooling, SelfAttention, Transformer

SETS, TOKENS, WIDTH, HEADS = 3, 5, 8, 2
CONFIG = TransformerConfig(width=WIDTH, depth=2, num_heads=HEADS)


def normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def softmax(logits):
  weights = np.exp(logits - logits.max(-1, keepdims=True))
  return weights / weights.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def tokens():
  return jnp.asarray(normal(0, SETS, TOKENS, WIDTH))


@pytest.fixture(scope="module")
def mask():
  return jnp.asarray(np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], bool))


@pytest.fixture(scope="module")
def transformer(tokens, mask):
  model = Transformer(CONFIG)
  return model, jax.jit(model.init)(jax.random.key(0), tokens, mask), jax.jit(model.apply)


def test_dense_is_flax_dense_on_any_number_of_axes(tokens):
  params = Dense(4).init(jax.random.key(0), tokens)
  assert jax.tree.map(jnp.shape, params) == {"params": {"kernel": (WIDTH, 4), "bias": (4,)}}
  for inputs in (tokens, tokens[0], tokens[None]):
    want = nn.Dense(4).apply(params, inputs)
    np.testing.assert_allclose(Dense(4).apply(params, inputs), want, rtol=1e-5, atol=1e-6)


def test_self_attention_equals_ten_lines_of_numpy(tokens, mask):
  layer = SelfAttention(HEADS)
  params = layer.init(jax.random.key(0), tokens, mask)
  kernel = {name: np.asarray(params["params"][name]["kernel"]) for name in ("qkv", "out")}
  size = WIDTH // HEADS
  want = np.zeros((SETS, TOKENS, WIDTH))
  for head in range(HEADS):
    start = 3 * size * head
    query, key, value = (
      np.asarray(tokens) @ kernel["qkv"][:, start + size * part : start + size * (part + 1)]
      for part in range(3)
    )
    logits = query @ key.swapaxes(1, 2) / np.sqrt(size)
    logits = np.where(np.asarray(mask)[:, None], logits, -np.inf)
    want[..., size * head : size * (head + 1)] = softmax(logits) @ value
  np.testing.assert_allclose(layer.apply(params, tokens, mask), want @ kernel["out"], atol=1e-5)


def test_a_query_that_sees_nothing_gives_finite_values_and_gradients():
  query, key, value = (jnp.asarray(normal(seed, 1, 4, 6)) for seed in range(3))
  nothing = jnp.zeros((1, 1, 4), bool)

  def loss(query):
    return (attend(query, key, value, mask=nothing) ** 2).sum()

  got, gradient = jax.value_and_grad(loss)(query)
  assert np.isfinite(got)
  assert np.isfinite(gradient).all()


def test_what_stands_in_masked_tokens_changes_nothing_exactly(transformer, tokens, mask):
  model, params, apply = transformer
  garbage = jnp.where(mask[..., None], tokens, 1000.0)
  got, want = apply(params, garbage, mask), apply(params, tokens, mask)
  seen = np.asarray(mask)
  np.testing.assert_array_equal(np.asarray(got)[seen], np.asarray(want)[seen])


def test_a_transformer_knows_no_order(transformer, tokens, mask):
  model, params, apply = transformer
  order = np.array([3, 0, 4, 1, 2])
  got = apply(params, tokens[:, order], mask[:, order])
  want = apply(params, tokens, mask)[:, order]
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_depth_scanned_equals_depth_unrolled(transformer, tokens, mask):
  model, params, apply = transformer
  layers = params["params"]
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), layers["block_0"], layers["block_1"])
  scanned = Transformer(TransformerConfig(width=WIDTH, depth=2, num_heads=HEADS, scan=True))
  got = jax.jit(scanned.apply)(
    {"params": {"blocks": stacked, "norm": layers["norm"]}}, tokens, mask
  )
  np.testing.assert_allclose(got, apply(params, tokens, mask), atol=1e-5)


@pytest.mark.parametrize("scan", [False, True])
def test_what_is_computed_again_changes_no_gradient(scan, tokens, mask):
  def gradient(remat):
    model = Transformer(TransformerConfig(WIDTH, 1, HEADS, scan=scan, remat=remat))
    params = jax.eval_shape(model.init, jax.random.key(0), tokens, mask)
    drawn = jax.tree.map(lambda leaf: jnp.asarray(normal(leaf.size, *leaf.shape)), params)
    loss = jax.jit(jax.grad(lambda params: (model.apply(params, tokens, mask) ** 2).sum()))
    return loss.trace(drawn), drawn

  traced = {remat: gradient(remat)[0] for remat in ("none", "dots", "full", "auto")}
  programs = {remat: str(one.jaxpr) for remat, one in traced.items()}
  assert len(set(programs.values())) == 3
  assert programs["auto"] == programs["full" if scan else "none"]
  params = gradient("none")[1]
  want, got = (traced[remat].lower().compile()(params) for remat in ("none", "dots"))
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), got, want)


def test_bfloat16_is_float32_to_two_digits(transformer, tokens, mask):
  model, params, apply = transformer
  half = Transformer(CONFIG, dtype=jnp.bfloat16)
  got = half.apply(params, tokens.astype(jnp.bfloat16), mask)
  assert got.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    got.astype(jnp.float32), apply(params, tokens, mask), atol=0.05
  )  # 8 bits of mantissa, values about 1


@pytest.fixture(scope="module")
def pooling(tokens, mask):
  layer = SeedPooling(HEADS)
  params = layer.init(jax.random.key(0), tokens, jnp.zeros((SETS, TOKENS)), mask)
  return params, jax.jit(layer.apply)


def test_pooling_is_attention_of_a_seed_whatever_the_order(pooling, tokens, mask):
  params, apply = pooling
  bias = jnp.asarray(normal(1, SETS, TOKENS))
  seed, out = (np.asarray(params["params"][name]["kernel"]) for name in ("seed", "out"))
  logits = np.asarray(tokens) @ seed + np.asarray(bias)[..., None]
  logits = np.where(np.asarray(mask)[..., None], logits, -np.inf)
  pooled = softmax(logits.swapaxes(1, 2)) @ np.asarray(tokens)
  want = pooled.reshape(SETS, -1) @ out
  np.testing.assert_allclose(apply(params, tokens, bias, mask), want, atol=1e-5)
  order = np.array([3, 0, 4, 1, 2])
  got = apply(params, tokens[:, order], bias[:, order], mask[:, order])
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_strong_bias_pools_that_token_alone(pooling, tokens, mask):
  params, apply = pooling
  bias = jnp.zeros((SETS, TOKENS)).at[:, 0].set(100.0)
  got = apply(params, tokens, bias, mask)
  alone = apply(params, tokens, bias, jnp.arange(TOKENS)[None] == jnp.zeros((SETS, 1), jnp.int32))
  np.testing.assert_allclose(got, alone, atol=1e-6)


def test_an_empty_set_pools_to_0(pooling, tokens):
  params, apply = pooling
  got = apply(params, tokens, jnp.zeros((SETS, TOKENS)), jnp.zeros((SETS, TOKENS), bool))
  assert (np.asarray(got) == 0).all()  # the output layer's bias is 0 before training
