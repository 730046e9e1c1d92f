"""Region prototypes against Sinkhorn-Knopp written out in NumPy, a section at a time."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from hibio.objectives import monitors, prototypes
from tests.hibio.objectives.conftest import unit

WINDOWS, SPOTS, NUMBER, WIDTH = 4, 9, 5, 6
SECTION = np.array([3, 0, 3, 1], np.int32)  # section 3 has two windows
OPTIONS = {"temperature": 0.3, "min_share": 0.3, "balance": 0.5}
sinkhorn = jax.jit(prototypes.sinkhorn, static_argnames=("temperature", "iterations"))
swapped = jax.jit(
  functools.partial(prototypes.swapped_prediction, target_temperature=0.05, temperature=0.1)
)
over_any_batch = jax.jit(
  prototypes.over_batch, static_argnames=("temperature", "min_share", "balance")
)
over_batch = functools.partial(over_any_batch, **OPTIONS)


@pytest.fixture
def case(rng):
  """Image and gene embeddings, and the prototypes over them; some spots are padding."""
  vectors = unit(rng, NUMBER, WIDTH)
  # Section 0 is unlike the others: not all of them hold the same prototypes.
  lean = np.where(SECTION == 0, 1.0, -0.5)[:, None, None] * vectors[0]
  sides = unit(rng, 2, WINDOWS, SPOTS, WIDTH) + lean
  sides /= np.linalg.norm(sides, axis=-1, keepdims=True)
  mask = rng.random((WINDOWS, SPOTS)) < 0.8
  image, gene = jnp.asarray(sides.astype(np.float32))
  return image, gene, over_batch(jnp.asarray(vectors), image, gene, mask, SECTION)


def of_section(section, *arrays):
  """The rows of one section's spots, real ones only; the mask comes last."""
  *arrays, mask = (np.asarray(array)[section == SECTION] for array in arrays)
  return [array[mask] for array in arrays]


def test_usage_is_the_mean_probability_over_the_real_spots_of_a_section(case):
  image, gene, learned = case
  vectors = np.asarray(learned.vectors)
  got = prototypes.usage(
    image, gene, learned.vectors, learned.mask, learned.section_index, temperature=0.3
  )
  for window, section in enumerate(SECTION):
    sides = of_section(section, image, gene, learned.mask)
    want = np.mean([softmax(side @ vectors.T / 0.3, axis=1).mean(0) for side in sides], axis=0)
    np.testing.assert_allclose(got[window], want, atol=1e-6)


def test_a_prototype_is_open_to_those_who_hold_it_or_to_all_if_nobody_does():
  usage = jnp.array([[0.50, 0.45, 0.04, 0.01], [0.90, 0.01, 0.08, 0.01]])
  got = prototypes.open_to(usage, min_share=0.2)  # from 0.05 on
  np.testing.assert_array_equal(got, [[True, True, False, True], [True, False, True, True]])
  assert np.asarray(prototypes.open_to(usage, min_share=0.0)).all()


@pytest.mark.parametrize("balance", [0.0, 0.3, 1.0])
def test_the_shares_asked_for_lie_between_those_there_are_and_equal_ones(balance):
  usage = jnp.array([[0.6, 0.3, 0.1]])
  got = prototypes.marginal(usage, jnp.array([[True, False, True]]), balance=balance)
  want = balance * np.array([0.5, 0, 0.5]) + (1 - balance) * np.array([6 / 7, 0, 1 / 7])
  np.testing.assert_allclose(got[0], want, atol=1e-6)


def test_assignments_are_those_of_sinkhorn_knopp_in_each_section(case):
  image, _, learned = case
  similarity = image @ learned.vectors.T
  got = sinkhorn(similarity, learned, temperature=0.05, iterations=3)
  assert not np.asarray(learned.allowed).all()
  for section in set(SECTION):
    window = list(SECTION).index(section)
    scores, found = of_section(section, similarity, got, learned.mask)
    kept = np.asarray(learned.allowed)[window]
    share = np.asarray(learned.marginal, np.float64)[window, kept]
    plan = np.exp(scores[:, kept].astype(np.float64) / 0.05)
    for _ in range(3):
      plan *= share / plan.sum(0)
      plan /= plan.sum(1, keepdims=True)
    np.testing.assert_allclose(found[:, kept], plan, atol=5e-6)
    assert not found[:, ~kept].any()


def test_rows_sum_to_one_and_columns_reach_the_shares_asked_for(case):
  image, _, learned = case
  got = np.asarray(sinkhorn(image @ learned.vectors.T, learned, temperature=0.2, iterations=200))
  mask = np.asarray(learned.mask)
  np.testing.assert_allclose(got.sum(-1), mask, atol=1e-5)
  for window, section in enumerate(SECTION):
    (found,) = of_section(section, got, mask)
    np.testing.assert_allclose(found.mean(0), learned.marginal[window], atol=1e-3)


def test_a_rare_tissue_stays_rarer_than_equal_parts_would_have_it(rng):
  vectors = np.eye(3, dtype=np.float32)
  kinds = np.repeat([0, 1, 2], [20, 18, 2])
  spots = jnp.asarray(vectors[kinds][None])
  mask, section = jnp.ones((1, 40), bool), jnp.zeros(1, jnp.int32)

  def shares(balance):
    learned = over_any_batch(
      jnp.asarray(vectors), spots, spots, mask, section,
      temperature=0.05, min_share=0.0, balance=balance,
    )  # fmt: skip
    found = sinkhorn(spots @ vectors.T, learned, temperature=0.05, iterations=50)
    return np.asarray(found[0].mean(0))

  np.testing.assert_allclose(shares(1.0), 1 / 3, atol=0.02)
  np.testing.assert_allclose(shares(0.0), [0.5, 0.45, 0.05], atol=0.02)
  assert 0.05 < shares(0.5)[2] < 0.25


def test_a_spot_of_one_modality_predicts_the_assignment_of_the_other(case):
  image, gene, learned = case
  loss, chance = swapped(image, gene, learned)
  targets = [
    np.asarray(sinkhorn(side @ learned.vectors.T, learned, temperature=0.05))
    for side in (gene, image)
  ]
  for window, spot in np.ndindex(WINDOWS, SPOTS):
    kept = np.asarray(learned.allowed)[window]
    want = 0.0
    for side, target in zip((image, gene), targets, strict=True):
      logits = np.asarray(learned.vectors)[kept] @ np.asarray(side[window, spot]) / 0.1
      want -= 0.5 * float(target[window, spot, kept] @ log_softmax(logits))
    real = bool(learned.mask[window, spot])
    np.testing.assert_allclose(loss[window, spot], want if real else 0, atol=1e-5)
    np.testing.assert_allclose(chance[window, spot], np.log(kept.sum()) * real, rtol=1e-6)


def test_what_padding_and_other_sections_hold_changes_no_assignment(case):
  image, _, learned = case
  similarity = image @ learned.vectors.T
  before = sinkhorn(similarity, learned, temperature=0.05)
  odd = jnp.where(learned.mask[..., None], similarity, 7.0).at[1].set(-0.3)  # section 0
  after = sinkhorn(odd, learned, temperature=0.05)
  np.testing.assert_array_equal(np.delete(after, 1, 0), np.delete(before, 1, 0))


def test_gradients_are_finite_reach_the_prototypes_and_skip_the_targets(case):
  image, gene, learned = case

  def loss(image, gene, vectors):
    return swapped(image, gene, learned._replace(vectors=vectors))[0].sum()

  gradients = jax.jit(jax.grad(loss, (0, 1, 2)))(image, gene, learned.vectors)
  for gradient in gradients:
    assert np.isfinite(gradient).all()
    assert float((gradient**2).sum()) > 1e-6
  assert not gradients[0][~learned.mask].any()
  # The same with targets that are constants.
  fixed = [sinkhorn(side @ learned.vectors.T, learned, temperature=0.05) for side in (gene, image)]

  def by_hand(image, gene, vectors):
    total = 0.0
    for side, target in zip((image, gene), fixed, strict=True):
      logits = jnp.where(learned.places, side @ vectors.T / 0.1, -1e9)
      total -= 0.5 * jnp.where(learned.places, target * jax.nn.log_softmax(logits), 0.0).sum()
    return total

  for got, want in zip(
    gradients, jax.grad(by_hand, (0, 1, 2))(image, gene, learned.vectors), strict=True
  ):
    np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize("missing", ["all", "a window"])
def test_everything_stays_finite_when_nothing_is_valid(case, missing):
  image, gene, learned = case
  mask = learned.mask.at[1].set(False) if missing == "a window" else jnp.zeros_like(learned.mask)

  def loss(image, gene, vectors):
    over = over_batch(vectors, image, gene, mask, learned.section_index)
    return prototypes.swapped_prediction(
      image, gene, over, target_temperature=0.05, temperature=0.1
    )[0].sum()

  value, gradients = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(image, gene, learned.vectors)
  assert np.isfinite(value)
  assert (float(value) == 0) == (missing == "all")
  for gradient in gradients:
    assert np.isfinite(gradient).all()


def test_a_collapse_onto_one_prototype_costs_more_than_spread_and_is_seen(rng):
  vectors = jnp.eye(4, dtype=jnp.float32)
  section, mask = jnp.zeros(1, jnp.int32), jnp.ones((1, 40), bool)

  def look(spots):
    learned = over_any_batch(
      vectors, spots, spots, mask, section, temperature=0.05, min_share=0.1, balance=0.5
    )
    shown = prototypes.assignment(spots, learned, temperature=0.1)[0]
    return swapped(spots, spots, learned)[0].mean(), *monitors.anchor_usage(shown, mask[0])

  spread = look(vectors[np.arange(40) % 4][None])
  collapsed = look(vectors[np.zeros(40, int)][None])
  assert float(collapsed[0]) > float(spread[0]) + 1
  np.testing.assert_allclose(spread[1:], [np.log(4), 0], atol=1e-2)
  assert float(collapsed[1]) < 0.1
  assert float(collapsed[2]) == 3


def test_following_the_gradient_from_near_collapse_spreads_the_spots_out(rng):
  """Two kinds of tissue that begin on one prototype end on two."""
  kinds = np.arange(40) % 2
  spots = unit(rng, 40, WIDTH) * 0.1 + np.eye(WIDTH)[0] + 0.3 * np.eye(WIDTH)[1 + kinds]
  spots = jnp.asarray((spots / np.linalg.norm(spots, axis=1, keepdims=True))[None], jnp.float32)
  mask, section = jnp.ones((1, 40), bool), jnp.zeros(1, jnp.int32)
  start = np.stack([np.eye(WIDTH)[0], -np.eye(WIDTH)[0] + np.eye(WIDTH)[3]]).astype(np.float32)

  def over(raw):
    vectors = raw / jnp.linalg.norm(raw, axis=1, keepdims=True)
    return prototypes.over_batch(
      vectors, spots, spots, mask, section, temperature=0.05, min_share=0.1, balance=0.5
    )

  @jax.jit
  def step(raw):
    return raw - 0.1 * jax.grad(lambda raw: swapped(spots, spots, over(raw))[0].mean())(raw)

  def own(raw):
    return np.asarray(prototypes.assignment(spots, over(raw), temperature=0.05)[0].argmax(-1))

  raw = jnp.asarray(start)
  assert set(own(raw)) == {0}
  for _ in range(200):
    raw = step(raw)
  found = own(raw)
  assert entropy(np.bincount(found, minlength=2)) > 0.6
  agreement = (found == kinds).mean()
  assert max(agreement, 1 - agreement) > 0.9
