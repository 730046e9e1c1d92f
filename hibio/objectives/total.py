"""The loss: every objective in every step, weighed; the only file that knows the model's outputs.

All nine values are computed in all stages and only their weights change, so that a step compiles
once. Each value is finite whatever the batch holds: one that has nothing to say is 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from data_pipelines.problems import BadInputError
from hibio import pathways, regions
from hibio.batch import Batch, Tables
from hibio.configs import ObjectiveConfig
from hibio.expression import standardised
from hibio.objectives import monitors, pathway, reconstruction, region, spot
from hibio.objectives.reduce import masked_mean, masked_softmax
from hibio.objectives.temperature import inverse_temperature
from hibio.outputs import Outputs

OBJECTIVES = tuple(name for name, _ in ObjectiveConfig().weights)
_LARGEST_TABLE = 4096
"""Spots whose N x N similarities are held at once (64 MB each); more are worked on in blocks."""


class _Side(NamedTuple):
  """One modality of all spots of the batch, in one row."""

  embedding: Float[Array, "spot width"]
  readout: Float[Array, "spot gene"]
  score: Float[Array, " spot"]
  real: Bool[Array, " spot"]


class _Truth(NamedTuple):
  """What the counts of a spot say, in one row."""

  expression: Float[Array, "spot gene"]
  measured: Bool[Array, "spot gene"]
  keyword_weight: Float[Array, "spot gene"]
  activity: Float[Array, "spot pathway"]
  measured_pathways: Bool[Array, "spot pathway"]


def total(
  outputs: Outputs,
  batch: Batch,
  tables: Tables,
  config: ObjectiveConfig,
  weights: Mapping[str, Any],
  shuffle: Int[Array, " spots"] | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
  """The weighted sum of all objectives, and what went into it.

  Args:
    weights: weight of each objective now; one that is not named counts as 0.
    shuffle: a permutation of all spots of the batch (windows one after the other). Image i is then
      paired with the profile, the counts and the activities of spot shuffle[i], in every objective:
      a control in which nothing can be learned from the pairs.

  Returns:
    The loss, and metrics: "loss", "loss/NAME" and "weight/NAME" of each objective, "chance/NAME"
    where guessing has a known value, and "monitor/...".

  Raises:
    BadInputError: the config or the weights name something that does not exist.
  """
  batch = jax.tree.map(jnp.asarray, batch)
  unknown = sorted(set(weights) - set(OBJECTIVES))
  if unknown:
    raise BadInputError(
      "config", "objectives.weights", unknown[0], ", ".join(OBJECTIVES), "correct the name"
    )
  contrast = _named(spot.CONTRASTS, "contrast", config.contrast)
  form = _named(pathway.FORMS, "pathway_form", config.pathway_form)
  image, gene, truth = _sides(outputs, batch, tables)
  if shuffle is not None:
    gene, truth = jax.tree.map(lambda leaf: leaf[shuffle], (gene, truth))
  section = jnp.repeat(batch.section_index, batch.spot_mask.shape[1])
  positions_um = batch.positions_um.reshape(-1, 2)
  both = image.real & gene.real
  pairs = spot.Pairs(image.embedding, gene.embedding, both, positions_um, section)
  block = _block(both.size)
  rule = dict(neighbour_radius_um=config.neighbour_radius_um, block=block)

  values, chance = {}, {}
  per_pair, guess = contrast(
    pairs,
    inverse_temperature(_float32(outputs.log_scale)),
    _float32(outputs.bias),
    soft_target_share=config.soft_target_share,
    soft_target_temperature=config.soft_target_temperature,
    **rule,
  )
  values["spot"], chance["spot"] = masked_mean(per_pair, both), masked_mean(guess, both)

  values["reconstruction"] = 0.5 * sum(
    masked_mean(
      reconstruction.keyword_squared_error(
        side.readout, truth.expression, truth.measured, truth.keyword_weight
      ),
      side.real & gene.real,
    )
    for side in (image, gene)
  )

  anchors, anchor_scale = (
    _float32(outputs.anchors),
    inverse_temperature(_float32(outputs.anchor_log_scale)),
  )
  values["pathway"] = sum(
    masked_mean(
      form(
        side.embedding,
        anchors,
        anchor_scale,
        _float32(outputs.anchor_bias),
        truth.activity,
        truth.measured_pathways,
        temperature=config.activity_temperature,
      ),
      side.real & gene.real & truth.measured_pathways.any(-1),
    )
    for side in (image, gene)
  )
  active = pathway.is_active(truth.activity, truth.measured_pathways) & both[:, None]
  per_pathway, guess, present = pathway.prototype_contrast(
    image.embedding, gene.embedding, active, anchor_scale
  )
  values["prototype"] = masked_mean(per_pathway, present)
  chance["prototype"] = masked_mean(guess, present)
  per_anchor = pathway.anchor_separation(anchors, jnp.asarray(tables.membership))
  per_anchor += (_float32(outputs.anchor_offset) ** 2).sum(-1)
  values["separation"] = masked_mean(per_anchor, jnp.ones(per_anchor.shape, bool))

  for name, (value, guess) in _region_values(
    image, gene, pairs, batch, jnp.asarray(tables.regions), config, block
  ).items():
    values[name] = value
    if guess is not None:
      chance[name] = guess

  weight = {name: jnp.asarray(weights.get(name, 0.0), jnp.float32) for name in OBJECTIVES}
  loss = sum(weight[name] * values[name] for name in OBJECTIVES)
  metrics = {"loss": loss}
  metrics |= {f"loss/{name}": values[name] for name in OBJECTIVES}
  metrics |= {f"chance/{name}": value for name, value in chance.items()}
  metrics |= {f"weight/{name}": weight[name] for name in OBJECTIVES}
  metrics |= {
    f"monitor/{name}": value
    for name, value in _monitors(outputs, image, gene, truth, pairs, anchors, anchor_scale, rule)
  }
  return loss, metrics


def _region_values(image, gene, pairs, batch, region_ids, config, block):
  """(value, chance or None) of the four objectives about regions, means over levels."""
  places, temperature = config.max_regions, config.region_temperature
  levels = []
  for level_ids in region_ids:
    ids = level_ids[batch.spot_index].reshape(-1)
    segment, present = regions.compact(ids, pairs.valid, places)
    touching = regions.adjacency(
      segment,
      pairs.positions_um,
      pairs.section,
      radius_um=config.neighbour_radius_um,
      max_regions=places,
      block=block,
    )
    pooled = [regions.pool(side.embedding, side.score, segment, places) for side in (image, gene)]
    levels.append((segment, present, touching, *pooled))

  contrasts, crossings, nestings = [], [], []
  for segment, present, touching, image_regions, gene_regions in levels:
    per_region = region.region_contrast(
      image_regions, gene_regions, present, touching, temperature=temperature
    )
    contrasts.append([masked_mean(value, present) for value in per_region])
    for side, others in ((image, gene_regions), (gene, image_regions)):
      per_spot = region.spot_to_region(
        side.embedding, others, segment, present, touching, temperature=temperature
      )
      crossings.append([masked_mean(value, segment < places) for value in per_spot])
  for fine, coarse in zip(levels, levels[1:], strict=False):
    parent = regions.parents(fine[0], coarse[0], places)
    for side, other in ((image, 4), (gene, 3)):
      per_spot = region.hierarchy(
        side.embedding, fine[other], coarse[other], parent, temperature=temperature
      )
      nestings.append(masked_mean(per_spot, pairs.valid))

  smooth = []
  window = batch.spot_mask.shape
  for side, others in ((image, levels[0][4]), (gene, levels[0][3])):
    logits = side.embedding @ others.T / temperature
    allowed = pairs.valid[:, None] & levels[0][1][None, :]
    per_edge, edges = region.smoothness(
      masked_softmax(logits, allowed).reshape(*window, places),
      batch.positions_um,
      pairs.valid.reshape(window),
      radius_um=config.neighbour_radius_um,
    )
    smooth.append(masked_mean(per_edge, edges))
  return {
    "region": _mean_columns(contrasts),
    "spot_to_region": _mean_columns(crossings),
    "hierarchy": (_mean(nestings), None),
    "smoothness": (_mean(smooth), None),
  }


def _monitors(outputs, image, gene, truth, pairs, anchors, anchor_scale, rule):
  """(name, value) of every monitor; no gradient."""
  image, gene, pairs, anchors = jax.lax.stop_gradient((image, gene, pairs, anchors))
  for name, side in (("image", image), ("gene", gene)):
    yield f"effective_rank_{name}", monitors.effective_rank(side.embedding, side.real)
    yield f"dimension_std_{name}", monitors.dimension_std(side.embedding, side.real)
    yield f"mean_cosine_{name}", monitors.mean_cosine(side.embedding, side.real)
    yield (
      f"uniformity_{name}",
      monitors.uniformity(side.embedding, side.real, block=rule["block"]),
    )
    log_probability = pathway.log_probabilities(
      side.embedding, anchors, anchor_scale, truth.measured_pathways
    )
    usage, unused = monitors.anchor_usage(
      jnp.where(truth.measured_pathways, jnp.exp(log_probability), 0.0), side.real & gene.real
    )
    yield f"anchor_entropy_{name}", usage
    yield f"anchors_unused_{name}", unused
  yield "alignment", monitors.alignment(image.embedding, gene.embedding, pairs.valid)
  yield "masked_negatives", masked_mean(spot.masked_share(pairs, **rule), pairs.valid)
  for name, within in (("recall", False), ("recall_within_section", True)):
    hit, chance = spot.accuracy(pairs, within_section=within, **rule)
    yield name, masked_mean(hit, pairs.valid)
    yield f"{name}_chance", masked_mean(chance, pairs.valid)
  yield "scale", inverse_temperature(_float32(outputs.log_scale))
  yield "anchor_scale", anchor_scale


def _sides(outputs: Outputs, batch: Batch, tables: Tables) -> tuple[_Side, _Side, _Truth]:
  """Outputs and targets with windows one after the other, in float32."""
  statistics = jax.tree.map(jnp.asarray, tables.statistics)
  membership = jnp.asarray(tables.membership)
  section = batch.section_index
  measured = statistics.measured[section][:, None]
  expression = standardised(
    batch.counts,
    measured,
    statistics.log_mean[section][:, None],
    statistics.log_std[section][:, None],
  )
  activity = pathways.standardised_activity(batch.counts, statistics, membership, section)
  measured_pathways = pathways.measured_pathways(statistics, membership, section)[:, None]

  def flat(leaf):
    return leaf.reshape(batch.spot_mask.size, *leaf.shape[2:])

  image = _Side(
    _float32(flat(outputs.image)),
    _float32(flat(outputs.predicted_from_image)),
    _float32(flat(outputs.region_score_image)),
    flat(batch.spot_mask & batch.has_patch),
  )
  gene = _Side(
    _float32(flat(outputs.gene)),
    _float32(flat(outputs.predicted_from_gene)),
    _float32(flat(outputs.region_score_gene)),
    flat(batch.spot_mask & batch.has_counts),
  )
  truth = _Truth(
    flat(expression),
    flat(jnp.broadcast_to(measured, expression.shape)),
    _float32(flat(outputs.keyword_weight)),
    flat(activity),
    flat(jnp.broadcast_to(measured_pathways, activity.shape)),
  )
  return image, gene, jax.lax.stop_gradient(truth)


def _block(num_spots: int) -> int | None:
  return None if num_spots <= _LARGEST_TABLE else math.gcd(num_spots, 1024)


def _named(functions: dict, field: str, name: str):
  if name not in functions:
    raise BadInputError(
      "config",
      f"objectives.{field}",
      name,
      f"one of {', '.join(functions)}",
      f"--config.objectives.{field}={next(iter(functions))}",
    )
  return functions[name]


def _float32(leaf):
  return leaf.astype(jnp.float32)


def _mean(values):
  return sum(values, jnp.float32(0)) / max(len(values), 1)


def _mean_columns(rows):
  return tuple(_mean(column) for column in zip(*rows, strict=True))
