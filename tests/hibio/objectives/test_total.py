from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from hibio.configs import ObjectiveConfig, Stage, TrainingConfig
from hibio.expression import standardised
from hibio.objectives import OBJECTIVES, weights
from hibio.objectives.total import total
from hibio.outputs import Outputs
from hibio.pairwise import blended
from hibio.training.stages import objective_weights
from tests.hibio.fake import fake, fake_outputs

CONFIG = ObjectiveConfig(max_regions=16)
WEIGHTS = {name: jnp.float32(weight) for name, weight in weights().items()}
GENES, WIDTH, WINDOWS, SPOTS = 40, 8, 4, 12


@pytest.fixture(scope="module")
def case():
  """Outputs, batch and tables of one section, so that spots can change places."""
  batch, tables = fake(windows=WINDOWS, spots=SPOTS, genes=GENES, pathways=5, sections=1)
  statistics = tables.statistics.replace(activity_std=np.full((1, 5), 0.2, np.float32))
  tables = tables.replace(statistics=statistics)
  return fake_outputs(batch, pathways=5, width=WIDTH), *jax.tree.map(jnp.asarray, (batch, tables))


@functools.partial(jax.jit, static_argnames="config")
def value_and_gradient(outputs, batch, tables, weights, config=CONFIG):
  """The loss, the metrics, and the gradient of the loss for each field of the outputs."""

  def loss(fields):
    moved = Outputs(keywords=outputs.keywords, **fields)
    return total(moved, batch, tables, config, weights)

  (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(fields_of(outputs))
  return value, metrics, gradient


def fields_of(outputs: Outputs) -> dict[str, jax.Array]:
  names = {field.name for field in dataclasses.fields(Outputs)} - {"keywords"}
  return {name: getattr(outputs, name) for name in names}


@functools.partial(jax.jit, static_argnames=("config", "asked"))
def value(outputs, batch, tables, config=CONFIG, asked=None):
  return total(outputs, batch, tables, config, WEIGHTS, asked=asked)


@jax.jit
def shuffled(outputs, batch, tables, weights, shuffle):
  return total(outputs, batch, tables, CONFIG, weights, shuffle)


def all_finite(tree) -> bool:
  return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))


def test_the_loss_is_the_weighted_sum_of_all_objectives(case):
  loss, metrics, gradient = value_and_gradient(*case, WEIGHTS)
  named = {name: float(metrics[f"loss/{name}"]) for name in WEIGHTS}
  want = sum(float(weight) * named[name] for name, weight in WEIGHTS.items())
  np.testing.assert_allclose(loss, want, rtol=1e-5)
  np.testing.assert_array_equal(metrics["loss"], loss)
  for name, weight in WEIGHTS.items():
    np.testing.assert_allclose(metrics[f"weight/{name}"], weight, rtol=1e-6)
    assert named[name] > 0, name
  assert 0 < float(metrics["chance/spot"]) < np.log(WINDOWS * SPOTS)
  assert all_finite(gradient)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_small_step_down_its_gradient_lowers_each_objective(case, name):
  outputs, batch, tables = case
  only = {key: jnp.float32(key == name) for key in OBJECTIVES}
  before, metrics, gradient = value_and_gradient(*case, only)
  np.testing.assert_allclose(before, metrics[f"loss/{name}"], rtol=1e-6)
  squared = sum(float((slope**2).sum()) for slope in gradient.values())
  assert squared > 1e-6
  step = 1e-2 * float(before) / squared  # asks for one hundredth less, to first order
  fields = fields_of(outputs)
  moved = outputs.replace(**{key: fields[key] - step * gradient[key] for key in fields})
  after, _, _ = value_and_gradient(moved, batch, tables, only)
  assert 0.98 < float(after) / float(before) < 0.998


def test_an_objective_of_weight_zero_moves_nothing(case):
  _, _, gradient = value_and_gradient(*case, WEIGHTS | {"spot": jnp.float32(0)})
  np.testing.assert_array_equal(gradient["log_scale"], 0.0)
  _, _, gradient = value_and_gradient(*case, WEIGHTS)
  assert float(gradient["log_scale"]) != 0


def test_targets_get_no_gradient(case):
  _, _, gradient = value_and_gradient(*case, WEIGHTS)
  np.testing.assert_array_equal(gradient["keyword_weight"], 0.0)


def test_what_lies_in_padding_changes_nothing(case):
  outputs, batch, tables = case
  padding = ~batch.spot_mask

  def spoil(leaf):
    if leaf.ndim < 2 or leaf.shape[:2] != padding.shape:
      return leaf
    mask = padding.reshape(*padding.shape, *(1,) * (leaf.ndim - 2))
    return jnp.where(mask, jnp.asarray(3, leaf.dtype), leaf)

  assert padding.any()
  spoiled = batch.replace(
    **{
      field.name: spoil(getattr(batch, field.name))
      for field in dataclasses.fields(batch)
      if field.name not in ("spot_mask", "section_index", "features")
    }
  )
  _, want, _ = value_and_gradient(*case, WEIGHTS)
  _, got, gradient = value_and_gradient(jax.tree.map(spoil, outputs), spoiled, tables, WEIGHTS)
  for name in want:
    np.testing.assert_array_equal(got[name], want[name], err_msg=name)
  np.testing.assert_array_equal(gradient["image"][padding], 0.0)


@pytest.mark.parametrize("missing", ["spot_mask", "has_patch", "has_counts"])
def test_everything_stays_finite_when_nothing_is_valid(case, missing):
  outputs, batch, tables = case
  batch = batch.replace(**{missing: jnp.zeros_like(batch.spot_mask)})
  loss, metrics, gradient = value_and_gradient(outputs, batch, tables, WEIGHTS)
  assert all_finite((loss, metrics, gradient))
  silent = set(OBJECTIVES) - {"separation"}
  if missing == "has_patch":  # the counts can still be read
    silent -= {"reconstruction", "gene_reconstruction", "pathway"}
  for name in OBJECTIVES:
    assert (float(metrics[f"loss/{name}"]) == 0) == (name in silent), name
    assert (float(metrics[f"items/loss/{name}"]) == 0) == (name in silent), name


def test_a_profile_without_an_image_is_reconstructed_and_drawn_to_anchors_as_before(case):
  outputs, batch, tables = case
  lost = batch.replace(has_patch=batch.has_patch.at[0, :5].set(False))
  _, before, gradient = value_and_gradient(*case, WEIGHTS)
  _, after, later = value_and_gradient(outputs, lost, tables, WEIGHTS)
  num_genes, num_pairs = int(batch.spot_mask.sum()), int((batch.spot_mask & lost.has_patch).sum())
  assert num_pairs < num_genes
  assert float(after["items/loss/spot"]) == num_pairs
  assert float(after["items/loss/reconstruction"]) == num_pairs + num_genes
  assert float(after["items/loss/gene_reconstruction"]) == num_genes
  np.testing.assert_array_equal(
    after["loss/gene_reconstruction"], before["loss/gene_reconstruction"]
  )
  np.testing.assert_array_equal(later["predicted_from_image"][0, :5], 0.0)
  assert float(jnp.abs(gradient["predicted_from_image"][0, :5]).max()) > 0
  assert float(jnp.abs(later["predicted_from_gene"][0, :5]).max()) > 0
  for name in ("image", "region_score_image"):
    np.testing.assert_array_equal(later[name][0, :5], 0.0, err_msg=name)


def test_objectives_that_are_not_asked_cost_nothing_and_are_no_metric(case):
  loss, metrics = value(*case, asked=("spot", "reconstruction"))
  found = {name for name in metrics if name.startswith("loss/")}
  assert found == {"loss/spot", "loss/reconstruction"}
  want = metrics["loss/spot"] + 0.5 * metrics["loss/reconstruction"]
  np.testing.assert_allclose(loss, want, rtol=1e-6)


def test_within_the_section_chance_is_of_its_own_spots_alone():
  batch, tables = fake(windows=WINDOWS, spots=SPOTS, genes=GENES, pathways=2, sections=2)
  case = fake_outputs(batch, pathways=2, width=WIDTH), batch, tables
  own = dataclasses.replace(CONFIG, negatives="section")
  both, alone = (value(*case, of, asked=("spot",))[1] for of in (CONFIG, own))
  recall = np.log(1 / float(alone["monitor/recall_within_section_chance"]))
  assert float(alone["chance/spot"]) == pytest.approx(recall, abs=0.05)
  assert float(alone["chance/spot"]) < float(both["chance/spot"]) - 0.5
  assert float(alone["loss/spot"]) < float(both["loss/spot"])
  with pytest.raises(BadInputError, match="objectives.negatives: found slide, expected one of"):
    value(*case, dataclasses.replace(CONFIG, negatives="slide"))


def test_everything_stays_finite_without_regions_measured_genes_or_scale(case):
  outputs, batch, tables = case
  statistics = tables.statistics
  bare = tables.replace(
    regions=jnp.full_like(tables.regions, -1),
    statistics=statistics.replace(measured=jnp.zeros_like(statistics.measured)),
  )
  loud = outputs.replace(log_scale=jnp.float32(50), anchor_log_scale=jnp.float32(50))
  result = value_and_gradient(loud, batch, bare, WEIGHTS)
  assert all_finite(result)
  for name in ("pathway", "prototype", "reconstruction", "region", "spot_to_region", "hierarchy"):
    assert float(result[1][f"loss/{name}"]) == 0.0, name


def test_a_corpus_without_gene_sets_trains_all_the_same():
  batch, tables = fake(windows=WINDOWS, spots=SPOTS, genes=GENES, pathways=0, sections=1)
  result = value_and_gradient(fake_outputs(batch, pathways=0, width=WIDTH), batch, tables, WEIGHTS)
  assert all_finite(result)
  assert float(result[1]["loss/spot"]) > 0


def test_perfect_outputs_reconstruct_and_find_everything(case):
  outputs, batch, tables = case
  statistics, section = tables.statistics, batch.section_index
  truth = standardised(
    batch.counts,
    statistics.measured[section][:, None],
    statistics.log_mean[section][:, None],
    statistics.log_std[section][:, None],
  )
  truth = blended(
    truth,
    batch.positions_um,
    batch.spot_mask & batch.has_counts,
    radius_um=CONFIG.neighbour_radius_um,
    share=CONFIG.surroundings_share,
  )
  perfect = outputs.replace(
    gene=outputs.image,
    region_score_gene=outputs.region_score_image,
    predicted_from_image=truth,
    predicted_from_gene=truth,
  )
  _, metrics, _ = value_and_gradient(perfect, batch, tables, WEIGHTS)
  np.testing.assert_allclose(metrics["loss/reconstruction"], 0.0, atol=1e-6)
  np.testing.assert_allclose(metrics["monitor/recall"], 1.0)
  np.testing.assert_allclose(metrics["monitor/alignment"], 0.0, atol=1e-6)
  for name in ("prototype", "region"):
    assert float(metrics[f"loss/{name}"]) < float(metrics[f"chance/{name}"]), name


def test_shuffled_pairs_are_pairs_whose_molecular_side_came_from_elsewhere(case):
  outputs, batch, tables = case
  everyone = jnp.ones_like(batch.spot_mask)
  batch = batch.replace(spot_mask=everyone, has_patch=everyone, has_counts=everyone)
  order = np.random.default_rng(0).permutation(everyone.size).astype(np.int32)

  def elsewhere(leaf):
    return leaf.reshape(-1, *leaf.shape[2:])[order].reshape(leaf.shape)

  sides = ("gene", "predicted_from_gene", "keyword_weight", "region_score_gene")
  moved = outputs.replace(**{name: elsewhere(getattr(outputs, name)) for name in sides})
  _, want, _ = value_and_gradient(
    moved, batch.replace(counts=elsewhere(batch.counts)), tables, WEIGHTS
  )
  loss, got = shuffled(outputs, batch, tables, {"spot": 2.0}, jnp.asarray(order))
  # A spot brings along what its own surroundings showed; moved counts would blend with strangers.
  other = {
    "loss",
    "loss/reconstruction",
    "loss/gene_reconstruction",
    *(f"weight/{name}" for name in OBJECTIVES),
  }
  for name in set(want) - other:
    np.testing.assert_allclose(got[name], want[name], rtol=1e-4, atol=1e-6, err_msg=name)
  np.testing.assert_allclose(loss, 2 * got["loss/spot"], rtol=1e-6)  # the others count as 0
  _, straight = shuffled(outputs, batch, tables, {"spot": 2.0}, jnp.arange(order.size))
  assert float(straight["loss/reconstruction"]) != float(got["loss/reconstruction"])
  assert abs(float(straight["loss/spot"]) - float(got["loss/spot"])) > 1e-3


def test_prototypes_can_be_contrasted_without_the_pathway_term(case):
  """By the weights of a stage that names "prototype" and not "pathway"."""
  stages = (Stage("spot", 0.5, ("spot",)), Stage("prototypes", 0.5, ("prototype",)))
  training = TrainingConfig(num_steps=10, windows_per_batch=4, sections_per_batch=1, stages=stages)
  of_step = objective_weights(9, training, weights())
  loss, metrics, gradient = value_and_gradient(*case, of_step)
  spot, prototype = (float(metrics[f"loss/{name}"]) for name in ("spot", "prototype"))
  np.testing.assert_allclose(loss, spot + prototype, rtol=1e-6)
  assert float(metrics["loss/pathway"]) > 0
  assert float(gradient["anchor_log_scale"]) != 0  # of the prototypes
  np.testing.assert_array_equal(gradient["anchors"], 0.0)


def test_nothing_is_said_of_pathways_and_prototypes_above_a_threshold_that_no_spot_reaches(case):
  config = dataclasses.replace(CONFIG, pathway_form="kl_indicator", activity_threshold=4.0)
  silent = value(*case, config, asked=("spot", "pathway", "prototype"))[1]
  usual = value_and_gradient(*case, WEIGHTS)[1]
  for name in ("loss/pathway", "loss/prototype"):
    assert float(usual[name]) > float(silent[name]) == 0, name
  np.testing.assert_allclose(silent["loss/spot"], usual["loss/spot"], rtol=1e-5)


@pytest.mark.parametrize("threshold", [5.0, -4.1, float("nan")])
def test_a_threshold_that_no_spot_reaches_is_refused(case, threshold):
  config = dataclasses.replace(CONFIG, activity_threshold=threshold)
  with pytest.raises(BadInputError, match=r"objectives\.activity_threshold: .*expected -4 to 4"):
    value(*case, config)


def test_an_unknown_pathway_form_is_answered_with_those_that_exist(case):
  config = dataclasses.replace(CONFIG, pathway_form="nonsense")
  with pytest.raises(BadInputError, match="objectives.pathway_form: found nonsense, expected one"):
    value(*case, config)


def test_a_weight_of_an_unknown_objective_is_refused(case):
  with pytest.raises(BadInputError, match="objectives.weights: found spots, expected one of spot"):
    total(*case, CONFIG, {"spots": 1.0})


def test_8192_spots_of_18000_genes_give_one_number():
  batch, tables = fake(windows=7, spots=11, genes=GENES, pathways=5, sections=3)
  small = fake_outputs(batch, pathways=5, width=WIDTH), batch, tables
  sizes = {7: 128, 11: 64, GENES: 18_000, 5: 300, WIDTH: 768}

  def loss():
    def grown(leaf):
      return jnp.zeros([sizes.get(size, size) for size in leaf.shape], leaf.dtype)

    return total(*jax.tree.map(grown, small), ObjectiveConfig(), WEIGHTS)

  value, metrics = jax.eval_shape(loss)
  assert value.shape == ()
  assert {leaf.dtype for leaf in metrics.values()} == {jnp.dtype("float32")}
