"""The gene encoder reads a set of keyword genes: their names and values, not their order."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hibio.configs import ModelConfig, TransformerConfig
from hibio.encoders.gene import KeywordTransformer
from hibio.outputs import Keywords

GENES, WIDTH = 20, 8
TOWER = TransformerConfig(width=WIDTH, depth=1, num_heads=2)
CONFIG = ModelConfig(embedding_width=WIDTH, patch_px=8, token_px=4, image=TOWER, gene=TOWER)


@pytest.fixture(scope="module")
def keywords():
  rng = np.random.default_rng(0)
  gene = np.stack([rng.permutation(GENES)[:6] for _ in range(8)]).reshape(2, 4, 6)
  weight = np.sort(rng.random((2, 4, 6)).astype(np.float32))[..., ::-1]
  mask = np.ones((2, 4, 6), bool)
  mask[0, 1, 4:] = False
  mask[1, 3] = False
  weight = np.where(mask, weight, 0)
  weight /= np.maximum(weight.sum(-1, keepdims=True), 1e-9)
  fraction = np.where(mask, rng.random((2, 4, 6)) * 0.1, 0).astype(np.float32)
  parts = (gene.astype(np.int32), fraction, weight.astype(np.float32), mask)
  return Keywords(*map(jnp.asarray, parts))


@pytest.fixture(scope="module")
def encoder(keywords):
  table = jnp.asarray(np.random.default_rng(1).normal(size=(GENES, WIDTH)).astype(np.float32))
  model = KeywordTransformer(CONFIG)
  share = jnp.array([1.0, 0.5])
  params = jax.jit(model.init)(jax.random.key(0), keywords, table, share)
  apply = jax.jit(model.apply)

  def encode(keywords, table=table, share=share):
    return np.asarray(apply(params, keywords, table, share))

  return encode, table


def test_the_order_of_keywords_says_nothing(encoder, keywords):
  encode, _ = encoder
  order = np.random.default_rng(2).permutation(6)
  shuffled = jax.tree.map(lambda leaf: leaf[..., order], keywords)
  np.testing.assert_allclose(encode(shuffled), encode(keywords), atol=1e-5)


def test_places_without_a_keyword_are_not_read_exactly(encoder, keywords):
  encode, _ = encoder
  garbage = keywords.replace(
    gene=jnp.where(keywords.mask, keywords.gene, 7),
    fraction=jnp.where(keywords.mask, keywords.fraction, 0.9),
  )
  got, want = encode(garbage), encode(keywords)
  np.testing.assert_array_equal(got, want)
  assert np.isfinite(want).all()


def test_names_and_values_of_keywords_both_matter(encoder, keywords):
  encode, table = encoder
  want = encode(keywords)
  renamed = keywords.replace(gene=(keywords.gene + 1) % GENES)
  louder = keywords.replace(fraction=keywords.fraction * 5)
  heard = np.asarray(keywords.mask.any(-1))
  assert (np.abs(encode(renamed) - want).max(-1)[heard] > 1e-3).all()
  assert (np.abs(encode(louder) - want).max(-1)[heard] > 1e-4).all()
  assert (np.abs(encode(keywords, share=jnp.array([0.1, 0.1])) - want).max(-1)[heard] > 1e-4).all()


def test_only_rows_of_a_spots_own_keywords_reach_it(encoder, keywords):
  encode, table = encoder
  own = set(np.asarray(keywords.gene)[0, 0].tolist())
  others = np.array([gene for gene in range(GENES) if gene not in own])
  changed = encode(keywords, table=table.at[others].set(9.0))
  np.testing.assert_array_equal(changed[0, 0], encode(keywords)[0, 0])
  assert np.abs(changed - encode(keywords))[0, 2].max() > 1e-3


def test_a_keyword_is_heard_more_when_it_is_heavy(encoder, keywords):
  encode, table = encoder
  changed = table.at[keywords.gene[0, 0, 0]].multiply(0.5)

  def heard(weight):
    rest = [(1 - weight) / 5] * 5
    spots = keywords.replace(weight=keywords.weight.at[0, 0].set(jnp.array([weight, *rest])))
    return np.abs(encode(spots, table=changed) - encode(spots))[0, 0].mean()

  assert heard(0.9) > 2 * heard(0.02)


def test_a_sentence_tells_names_and_order_and_nothing_else(keywords):
  table = jnp.asarray(np.random.default_rng(1).normal(size=(GENES, WIDTH)).astype(np.float32))
  model = KeywordTransformer(dataclasses.replace(CONFIG, gene_input="sentence"))
  share = jnp.array([1.0, 0.5])
  params = jax.jit(model.init)(jax.random.key(0), keywords, table, share)
  encode = jax.jit(lambda keywords, share: model.apply(params, keywords, table, share))
  want = np.asarray(encode(keywords, share))
  # Weights change but not their order; amounts and the platform's share change freely.
  louder = keywords.replace(fraction=keywords.fraction * 5, weight=keywords.weight**2)
  np.testing.assert_array_equal(encode(louder, jnp.array([0.1, 0.2])), want)
  turned = keywords.replace(weight=jnp.where(keywords.mask, keywords.weight[..., ::-1], 0.0))
  whole = np.asarray(keywords.mask.all(-1))
  assert np.abs(np.asarray(encode(turned, share)) - want)[whole].max() > 1e-4
