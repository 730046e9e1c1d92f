from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from hibio.configs import ObjectiveConfig
from hibio.objectives import pathway
from hibio.pathways import jaccard
from tests.hibio.fake import unit_vectors

prototypes = jax.jit(pathway.prototype_contrast)
separation = jax.jit(lambda a, m: pathway.anchor_separation(a, jaccard(m)))
SCALE = jnp.float32(4.0)
CONFIG = ObjectiveConfig(activity_temperature=0.5)


def divergence(form, embedding, anchors, scale, activity, measured, config=CONFIG):
  """From what the anchors say of each spot to what its activities ask for."""
  read = pathway.log_probabilities(embedding, anchors, scale, measured)
  return pathway.divergence(pathway.TARGETS[form](activity, measured, config), read)


@pytest.fixture
def case(rng):
  """Embedding, anchors, activity and measured of 10 spots, 5 pathways; the last spot has none."""
  measured = rng.random((10, 5)) < 0.8
  measured[0], measured[-1] = True, False
  activity = np.where(measured, rng.normal(size=(10, 5)), 0).astype(np.float32)
  arrays = unit_vectors(rng, 10, 6), unit_vectors(rng, 5, 6), activity, measured
  return tuple(map(jnp.asarray, arrays))


def test_kl_is_the_divergence_of_the_activity_softmax_from_the_anchor_softmax(case):
  embedding, anchors, activity, measured = map(np.asarray, case)
  got = divergence("kl", *case[:2], SCALE, *case[2:])
  for spot in range(9):
    kept = measured[spot]
    target = softmax(activity[spot, kept] / 0.5)
    predicted = softmax(4.0 * anchors[kept] @ embedding[spot])
    np.testing.assert_allclose(got[spot], entropy(target, predicted), rtol=1e-4)
  assert float(got[9]) == 0.0


def test_kl_is_zero_when_the_anchors_say_what_the_activities_say(rng):
  embedding = unit_vectors(rng, 10, 5)
  activity = jnp.asarray(0.5 * 4.0 * embedding)  # anchors are the axes
  got = divergence(
    "kl", jnp.asarray(embedding), jnp.eye(5), SCALE, activity, jnp.ones((10, 5), bool)
  )
  np.testing.assert_allclose(got, 0.0, atol=1e-6)


@pytest.mark.parametrize("form", pathway.TARGETS)
def test_a_pathway_that_is_not_measured_changes_nothing(case, form):
  embedding, anchors, activity, measured = case
  values = jax.jit(functools.partial(divergence, form))
  value = values(embedding, anchors, SCALE, activity, measured)
  odd = jnp.where(measured, activity, 50.0)
  moved = values(embedding, anchors, SCALE, odd, measured)
  np.testing.assert_array_equal(value, moved)
  without = measured.at[:, 2].set(False)
  subset = jnp.array([0, 1, 3, 4])
  np.testing.assert_allclose(
    values(embedding, anchors, SCALE, activity, without),
    values(embedding, anchors[subset], SCALE, activity[:, subset], measured[:, subset]),
    rtol=1e-5,
    atol=1e-6,
  )


@pytest.mark.parametrize("form", pathway.TARGETS)
def test_gradients_are_finite_and_zero_without_measured_pathways(case, form):
  nothing = jnp.zeros((10, 5), bool)

  def mean(embedding, anchors):
    values = divergence(form, embedding, anchors, SCALE, case[2], nothing)
    return values.sum()

  for gradient in jax.jit(jax.grad(mean, (0, 1)))(*case[:2]):
    np.testing.assert_array_equal(gradient, 0.0)


def test_a_pathway_is_on_in_a_fifth_of_the_spots_and_never_where_it_is_not_measured(rng):
  activity = jnp.asarray(rng.normal(size=(5000, 2)).astype(np.float32))
  measured = jnp.array([[True, False]]).repeat(5000, 0)
  on = pathway.is_active(activity, measured, threshold=CONFIG.activity_threshold)
  np.testing.assert_allclose(on.mean(0), [0.2, 0.0], atol=0.02)


@pytest.mark.parametrize("threshold", [0.0, 0.6])
def test_the_indicator_form_spreads_its_target_evenly_over_the_pathways_that_are_on(
  case, threshold
):
  embedding, anchors, activity, measured = map(np.asarray, case)
  got = divergence(
    "kl_indicator", *case[:2], SCALE, *case[2:], ObjectiveConfig(activity_threshold=threshold)
  )
  on = measured & (activity > threshold)
  assert 0 < (~on.any(1)).sum() < 10
  for spot in range(10):
    kept = measured[spot]
    want = 0.0
    if on[spot].any():
      predicted = softmax(4.0 * anchors[kept] @ embedding[spot])
      want = entropy(on[spot, kept] / on[spot].sum(), predicted)
    np.testing.assert_allclose(got[spot], want, rtol=1e-4)


def test_the_indicator_form_is_zero_when_the_anchors_say_what_is_on():
  on = jnp.array([[True, True, False, False], [False, False, True, False]])
  embedding = on.astype(jnp.float32) / jnp.sqrt(on.sum(1, keepdims=True, dtype=jnp.float32))
  got = divergence(
    "kl_indicator",
    embedding,
    jnp.eye(4),
    jnp.float32(100.0),
    jnp.where(on, 2.0, -1.0),
    jnp.ones((2, 4), bool),
  )
  np.testing.assert_allclose(got, 0.0, atol=1e-6)


def test_prototypes_of_the_two_modalities_are_told_apart_by_cross_entropy(rng):
  image, gene = unit_vectors(rng, 2, 12, 6)
  active = rng.random((12, 5)) < 0.4
  active[:, 3] = False
  got, chance, present = prototypes(
    jnp.asarray(image), jnp.asarray(gene), jnp.asarray(active), SCALE
  )
  kept = [0, 1, 2, 4]
  means = []
  for side in (image, gene):
    sums = np.stack([side[active[:, p]].sum(0) for p in kept])
    means.append(sums / np.linalg.norm(sums, axis=1, keepdims=True))
  logits = 4.0 * means[0] @ means[1].T
  want = -(np.diag(log_softmax(logits, 1)) + np.diag(log_softmax(logits, 0))) / 2
  np.testing.assert_allclose(got[np.array(kept)], want, rtol=1e-4)
  np.testing.assert_array_equal(present, np.arange(5) != 3)
  np.testing.assert_allclose(chance, np.where(present, np.log(4), 0), rtol=1e-6)
  assert float(got[3]) == 0.0


def test_prototypes_of_a_batch_without_active_pathways_are_silent(rng):
  image, gene = map(jnp.asarray, unit_vectors(rng, 2, 12, 6))

  def loss(image, gene):
    return pathway.prototype_contrast(image, gene, jnp.zeros((12, 5), bool), SCALE)[0].sum()

  value, gradients = jax.jit(jax.value_and_grad(loss, (0, 1)))(image, gene)
  assert float(value) == 0.0
  for gradient in gradients:
    np.testing.assert_array_equal(gradient, 0.0)


def test_anchors_may_be_as_close_as_their_shared_genes_allow(rng):
  anchors = unit_vectors(rng, 4, 3)
  anchors[1] = anchors[0]
  genes = [{0, 1, 2, 3}, {2, 3, 4}, {5, 6}, set()]
  membership = np.array([[g in members for g in range(8)] for members in genes])
  total = 0.0
  for p in range(4):
    for q in range(p + 1, 4):
      union = genes[p] | genes[q]
      overlap = len(genes[p] & genes[q]) / len(union) if union else 0.0
      total += max(0.0, anchors[p] @ anchors[q] - overlap - 0.3) ** 2
  got = separation(jnp.asarray(anchors), jnp.asarray(membership))
  np.testing.assert_allclose(got.sum(), total, rtol=1e-4)
  assert total > 0.05  # 1 - 2/5 - 0.3 squared, at least
  same = separation(jnp.asarray(anchors[:2]), jnp.asarray(membership[[0, 0]]))
  np.testing.assert_array_equal(same, 0.0)  # identical gene sets may share an anchor
