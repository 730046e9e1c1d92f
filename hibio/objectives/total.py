"""The loss: every objective in every step, weighed.

All objectives are computed in all stages and only their weights change, so that a step compiles
once. Each value is finite whatever the batch holds: one that has nothing to say is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from data_pipelines.problems import BadInputError
from hibio import regions
from hibio.batch import Batch, Tables
from hibio.configs import ObjectiveConfig
from hibio.masked import masked_mean, masked_softmax
from hibio.objectives import monitors, pathway, prototypes, reconstruction, region, spot
from hibio.objectives.base import (
  Anchors,
  Side,
  Truth,
  at_limit,
  block_of,
  float32,
  in_windows,
  inverse_temperature,
  sides_of,
)
from hibio.outputs import Outputs

OBJECTIVES = tuple(name for name, _ in ObjectiveConfig().weights)

_LARGEST_THRESHOLD = 4.0
"""Standard deviations; a pathway that is on in fewer than 1 of 30,000 spots is never on."""

Values = dict[str, tuple[Array, Array | None]]
"""Objective -> its value, and the value that guessing gives where that is known."""


class _Level(NamedTuple):
  """The regions of one level of the hierarchy."""

  segment: Int[Array, " spot"]
  present: Bool[Array, " region"]
  adjacent: Bool[Array, "region region"]
  image: Float[Array, "region width"]
  gene: Float[Array, "region width"]


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
    shuffle: a permutation of all spots of the batch, windows one after the other. Image i is then
      paired with the profile, the counts and the activities of spot shuffle[i], in every objective:
      a control in which nothing can be learned from the pairs.

  Returns:
    The loss, and metrics: "loss", "loss/NAME" and "weight/NAME" of each objective, "chance/NAME"
    where the value of guessing is known, and "monitor/...".

  Raises:
    BadInputError: the config or the weights name something that does not exist.
  """
  _check_names(config, weights)
  _check_threshold(config.activity_threshold)
  _check_prototypes(config, len(outputs.region_prototypes))
  batch, tables = jax.tree.map(jnp.asarray, (batch, tables))
  image, gene, truth = sides_of(outputs, batch, tables, config)
  if shuffle is not None:
    gene, truth = jax.tree.map(lambda leaf: leaf[shuffle], (gene, truth))
  pairs = spot.Pairs(
    image.embedding,
    gene.embedding,
    image.real & gene.real,
    batch.positions_um.reshape(-1, 2),
    jnp.repeat(batch.section_index, batch.spot_mask.shape[1]),
  )
  anchors = Anchors(
    float32(outputs.anchors),
    float32(outputs.anchor_offset),
    inverse_temperature(float32(outputs.anchor_log_scale)),
    float32(outputs.anchor_bias),
  )
  learned = _prototypes(outputs, image, gene, batch, config)
  overlap = tables.overlap
  if overlap is None:
    overlap = pathway.jaccard(tables.membership)
  values = (
    _spot_values(outputs, pairs, config)
    | {"reconstruction": (_reconstruction_error(image, gene, truth), None)}
    | _pathway_values(image, gene, truth, anchors, overlap, config)
    | _region_values(image, gene, pairs, batch, tables.regions, learned, config)
    | _prototype_values(image, gene, batch, learned, config)
  )
  weight = {name: jnp.asarray(weights.get(name, 0.0), jnp.float32) for name in OBJECTIVES}
  loss = sum(weight[name] * values[name][0] for name in OBJECTIVES)
  metrics = {"loss": loss}
  for name in OBJECTIVES:
    value, chance = values[name]
    metrics |= {f"loss/{name}": value, f"weight/{name}": weight[name]}
    if chance is not None:
      metrics[f"chance/{name}"] = chance
  seen = jax.lax.stop_gradient((image, gene, truth, pairs, anchors))
  metrics |= {f"monitor/{name}": value for name, value in monitors.of_batch(*seen, config)}
  metrics["monitor/gene_tokens_dropped"] = monitors.tokens_dropped(outputs, batch)
  if len(learned.vectors):
    seen = jax.lax.stop_gradient((image, gene, learned))
    metrics |= {f"monitor/{n}": value for n, value in monitors.of_prototypes(*seen, batch, config)}
  metrics["monitor/scale"] = inverse_temperature(float32(outputs.log_scale))
  metrics["monitor/anchor_scale"] = anchors.scale
  metrics["monitor/scale_at_limit"] = at_limit(float32(outputs.log_scale))
  metrics["monitor/anchor_scale_at_limit"] = at_limit(float32(outputs.anchor_log_scale))
  return loss, metrics


def _spot_values(outputs: Outputs, pairs: spot.Pairs, config: ObjectiveConfig) -> Values:
  per_pair, chance = spot.CONTRASTS[config.contrast](
    pairs,
    inverse_temperature(float32(outputs.log_scale)),
    float32(outputs.bias),
    neighbour_radius_um=config.neighbour_radius_um,
    soft_target_share=config.soft_target_share,
    soft_target_temperature=config.soft_target_temperature,
    block=block_of(pairs),
  )
  return {"spot": (masked_mean(per_pair, pairs.valid), masked_mean(chance, pairs.valid))}


def _reconstruction_error(image: Side, gene: Side, truth: Truth) -> Array:
  """Mean of both modalities."""
  return _mean(
    masked_mean(
      reconstruction.keyword_squared_error(
        side.readout, truth.expression, truth.measured, truth.keyword_weight
      ),
      side.real & gene.real,
    )
    for side in (image, gene)
  )


def _pathway_values(
  image: Side,
  gene: Side,
  truth: Truth,
  anchors: Anchors,
  overlap: Float[Array, "pathway pathway"],
  config: ObjectiveConfig,
) -> Values:
  form = pathway.FORMS[config.pathway_form]
  both = sum(
    masked_mean(
      form(
        side.embedding,
        anchors.vectors,
        anchors.scale,
        anchors.bias,
        truth.activity,
        truth.measured_pathways,
        temperature=config.activity_temperature,
        threshold=config.activity_threshold,
      ),
      side.real & gene.real & truth.measured_pathways.any(-1),
    )
    for side in (image, gene)
  )
  active = pathway.is_active(
    truth.activity, truth.measured_pathways, threshold=config.activity_threshold
  )
  per_pathway, chance, present = pathway.prototype_contrast(
    image.embedding, gene.embedding, active & (image.real & gene.real)[:, None], anchors.scale
  )
  per_anchor = pathway.anchor_separation(anchors.vectors, overlap)
  per_anchor += (anchors.offset**2).sum(-1)
  return {
    "pathway": (both, None),
    "prototype": (masked_mean(per_pathway, present), masked_mean(chance, present)),
    "separation": (masked_mean(per_anchor, jnp.ones(per_anchor.shape, bool)), None),
  }


def _region_values(
  image: Side,
  gene: Side,
  pairs: spot.Pairs,
  batch: Batch,
  region_ids: Int[Array, "level corpus_spot"],
  learned: prototypes.Prototypes,
  config: ObjectiveConfig,
) -> Values:
  """Means over levels and over both directions between the modalities."""
  temperature = config.region_temperature
  levels = [
    _level(image, gene, pairs, ids[batch.spot_index].reshape(-1), config) for ids in region_ids
  ]
  finest = levels[0]
  contrasts, crossings, nestings, edges = [], [], [], []
  for level in levels:
    per_region = region.region_contrast(
      level.image, level.gene, level.present, level.adjacent, temperature=temperature
    )
    contrasts.append([masked_mean(one, level.present) for one in per_region])
  # A spot of one modality is always held against the regions of the other.
  for side, across in ((image, "gene"), (gene, "image")):
    for level in levels:
      per_spot = region.spot_to_region(
        side.embedding,
        getattr(level, across),
        level.segment,
        level.present,
        level.adjacent,
        temperature=temperature,
      )
      crossings.append([masked_mean(one, level.segment < config.max_regions) for one in per_spot])
    for fine, coarse in zip(levels, levels[1:], strict=False):
      per_spot = region.hierarchy(
        side.embedding,
        getattr(fine, across),
        getattr(coarse, across),
        regions.parents(fine.segment, coarse.segment, config.max_regions),
        temperature=temperature,
      )
      nestings.append(masked_mean(per_spot, pairs.valid))
    per_edge, exists = region.smoothness(
      ASSIGNMENTS[config.smoothness_over](
        in_windows(side.embedding, batch),
        getattr(finest, across),
        finest.present,
        learned,
        temperature,
      ),
      batch.positions_um,
      learned.mask,
      radius_um=config.neighbour_radius_um,
    )
    edges.append(masked_mean(per_edge, exists))
  return {
    "region": tuple(map(_mean, zip(*contrasts, strict=True))),
    "spot_to_region": tuple(map(_mean, zip(*crossings, strict=True))),
    "hierarchy": (_mean(nestings), None),
    "smoothness": (_mean(edges), None),
  }


def _to_regions(embedding, regions, present, learned, temperature):
  """To the finest regions, of the other modality."""
  places = learned.mask[..., None] & present[None, None]
  return masked_softmax(embedding @ regions.T / temperature, places)


def _to_prototypes(embedding, regions, present, learned, temperature):
  """To the learned prototypes, which both modalities share."""
  del regions, present
  return prototypes.assignment(embedding, learned, temperature=temperature)


ASSIGNMENTS = {"regions": _to_regions, "prototypes": _to_prototypes}
"""What the spots of a window are assigned to where their neighbours should agree with them."""


def _prototypes(
  outputs: Outputs, image: Side, gene: Side, batch: Batch, config: ObjectiveConfig
) -> prototypes.Prototypes:
  return prototypes.over_batch(
    float32(outputs.region_prototypes),
    in_windows(image.embedding, batch),
    in_windows(gene.embedding, batch),
    in_windows(image.real & gene.real, batch),
    batch.section_index,
    temperature=config.prototype_temperature,
    min_share=config.prototype_min_share,
    balance=config.prototype_balance,
  )


def _prototype_values(
  image: Side,
  gene: Side,
  batch: Batch,
  learned: prototypes.Prototypes,
  config: ObjectiveConfig,
) -> Values:
  """Without prototypes there is nothing to say."""
  if not len(learned.vectors):
    return {"region_prototypes": (jnp.float32(0), None)}
  per_spot = prototypes.swapped_prediction(
    in_windows(image.embedding, batch),
    in_windows(gene.embedding, batch),
    learned,
    target_temperature=config.prototype_temperature,
    temperature=config.region_temperature,
  )
  value, chance = (masked_mean(one, learned.mask) for one in per_spot)
  return {"region_prototypes": (value, chance)}


def _level(
  image: Side,
  gene: Side,
  pairs: spot.Pairs,
  region_ids: Int[Array, " spot"],
  config: ObjectiveConfig,
) -> _Level:
  places = config.max_regions
  segment, present = regions.compact(region_ids, pairs.valid, places)
  adjacent = regions.adjacency(
    segment,
    pairs.positions_um,
    pairs.section,
    radius_um=config.neighbour_radius_um,
    max_regions=places,
    block=block_of(pairs),
  )
  pooled = (regions.pool(side.embedding, side.score, segment, places) for side in (image, gene))
  return _Level(segment, present, adjacent, *pooled)


def _check_names(config: ObjectiveConfig, weights: Mapping[str, Any]) -> None:
  asked = [
    ("contrast", config.contrast, spot.CONTRASTS),
    ("pathway_form", config.pathway_form, pathway.FORMS),
    ("smoothness_over", config.smoothness_over, ASSIGNMENTS),
    *(("weights", name, OBJECTIVES) for name in weights),
  ]
  for field, name, known in asked:
    if name not in known:
      raise BadInputError(
        "config",
        f"objectives.{field}",
        name,
        f"one of {', '.join(known)}",
        "correct the name" + (", also in training.stages" if field == "weights" else ""),
      )


def _check_threshold(threshold: float) -> None:
  if not abs(threshold) <= _LARGEST_THRESHOLD:
    raise BadInputError(
      "config",
      "objectives.activity_threshold",
      f"{threshold:g} standard deviations",
      f"-{_LARGEST_THRESHOLD:g} to {_LARGEST_THRESHOLD:g}",
      "set one above which some spots of a section lie; 0.84 is a fifth of them",
    )


def _check_prototypes(config: ObjectiveConfig, number: int) -> None:
  asked = [
    ("weights.region_prototypes", dict(config.weights).get("region_prototypes", 0) > 0),
    ("smoothness_over", config.smoothness_over == "prototypes"),
  ]
  for field, needs in asked:
    if needs and not number:
      raise BadInputError(
        "config",
        f"objectives.{field}",
        "a model without region prototypes",
        "one that has some",
        "set model.region_prototypes, for instance to 32",
      )


def _mean(values) -> Array:
  values = tuple(values)
  return sum(values, jnp.float32(0)) / max(len(values), 1)
