"""What objectives can ask for of a batch, in float32, with the spots of all windows in one row."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hibio import pathways, regions
from hibio.batch import Batch, Tables
from hibio.configs import ObjectiveConfig
from hibio.expression import standardised_in_sections
from hibio.layout import whole
from hibio.nn.temperature import inverse_temperature
from hibio.outputs import Outputs
from hibio.pairwise import blended, block_of


class Side(NamedTuple):
  """One modality of all spots.

  Attributes:
    embedding: of unit norm.
    readout: expression standardised in its section, read from the embedding.
    score: weight logit of each spot when its region is pooled.
    real: the modality was measured.
  """

  embedding: Float[Array, "spot width"]
  readout: Float[Array, "spot gene"]
  score: Float[Array, " spot"]
  real: Bool[Array, " spot"]


class Truth(NamedTuple):
  """What the counts of each spot say; no gradient flows into it.

  Attributes:
    expression: standardised in its section, blended with that of the spots around.
    measured: genes that the section's platform measures.
    keyword_weight: of every gene; 0 for genes that are no keyword.
    activity: of each pathway, standardised in its section.
    measured_pathways: pathways of which the platform measures enough genes.
  """

  expression: Float[Array, "spot gene"]
  measured: Bool[Array, "spot gene"]
  keyword_weight: Float[Array, "spot gene"]
  activity: Float[Array, "spot pathway"]
  measured_pathways: Bool[Array, "spot pathway"]


class Pairs(NamedTuple):
  """The image and the profile of each spot.

  Attributes:
    image: unit-norm image embeddings.
    gene: unit-norm gene embeddings.
    valid: both are real.
    positions_um: spot centres.
    section: section of each spot.
  """

  image: Float[Array, "pair width"]
  gene: Float[Array, "pair width"]
  valid: Bool[Array, " pair"]
  positions_um: Float[Array, "pair 2"]
  section: Int[Array, " pair"]


class Anchors(NamedTuple):
  """The pathway anchors.

  Attributes:
    vectors: of unit norm.
    offset: the learned part that member genes do not explain.
    scale: inverse temperature of the anchor probabilities.
    overlap: shared genes over all genes of every two pathways.
  """

  vectors: Float[Array, "pathway width"]
  offset: Float[Array, "pathway width"]
  scale: Float[Array, ""]
  overlap: Float[Array, "pathway pathway"]


class Level(NamedTuple):
  """The regions of one level of the hierarchy, in a fixed number of rows.

  Attributes:
    segment: row of each spot's region; the number of rows for spots in none.
    present: rows in use.
    adjacent: regions that touch each other, or themselves.
    image: pooled image embeddings.
    gene: pooled gene embeddings.
  """

  segment: Int[Array, " spot"]
  present: Bool[Array, " region"]
  adjacent: Bool[Array, "region region"]
  image: Float[Array, "region width"]
  gene: Float[Array, "region width"]


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
  """Everything an objective can name among its parameters; made when the first one asks for it.

  Attributes:
    outputs: of the model, in windows and in the order of the batch.
    batch: what the model saw.
    tables: of the corpus.
    config: temperatures and radii of all objectives.
    shuffle: a permutation of all spots: image i is paired with the profile, the counts and the
      activities of spot shuffle[i]; None to leave pairs as they are.
  """

  outputs: Outputs
  batch: Batch
  tables: Tables
  config: ObjectiveConfig
  shuffle: Int[Array, " spot"] | None = None

  @functools.cached_property
  def image(self) -> Side:
    """The image of each spot."""
    outputs, batch = self.outputs, self.batch
    return Side(
      _float32(_flat(outputs.image)),
      _float32(_flat(outputs.predicted_from_image)),
      _float32(_flat(outputs.region_score_image)),
      _flat(batch.spot_mask & batch.has_patch),
    )

  @functools.cached_property
  def gene(self) -> Side:
    """The profile of each spot."""
    outputs, batch = self.outputs, self.batch
    return self._shuffled(
      Side(
        _float32(_flat(outputs.gene)),
        _float32(_flat(outputs.predicted_from_gene)),
        _float32(_flat(outputs.region_score_gene)),
        _flat(batch.spot_mask & batch.has_counts),
      )
    )

  @functools.cached_property
  def truth(self) -> Truth:
    """What the counts of each spot say."""
    batch, tables, config = self.batch, self.tables, self.config
    statistics, section = tables.statistics, batch.section_index
    expression = standardised_in_sections(batch.counts, statistics, section)
    if config.surroundings_share > 0:
      expression = blended(
        expression,
        batch.positions_um,
        batch.spot_mask & batch.has_counts,
        radius_um=config.neighbour_radius_um,
        share=config.surroundings_share,
      )
    activity = pathways.standardised_activity(batch.counts, statistics, tables.membership, section)
    of_section = pathways.measured_pathways(statistics, tables.membership, section)
    measured = statistics.measured[section][:, None]
    truth = Truth(
      _flat(expression),
      _flat(jnp.broadcast_to(measured, expression.shape)),
      _float32(_flat(self.outputs.keyword_weight)),
      _flat(activity),
      _flat(jnp.broadcast_to(of_section[:, None], activity.shape)),
    )
    return self._shuffled(jax.lax.stop_gradient(truth))

  @functools.cached_property
  def pairs(self) -> Pairs:
    """The image and the profile of each spot, and where they lie."""
    pairs = Pairs(
      self.image.embedding,
      self.gene.embedding,
      self.image.real & self.gene.real,
      self.batch.positions_um.reshape(-1, 2),
      jnp.repeat(self.batch.section_index, self.batch.spot_mask.shape[1]),
    )
    return whole(pairs)  # each is held against all others

  @functools.cached_property
  def scale(self) -> Float[Array, ""]:
    """Inverse temperature of the spot contrast."""
    return inverse_temperature(_float32(self.outputs.log_scale))

  @functools.cached_property
  def anchors(self) -> Anchors:
    """The pathway anchors."""
    overlap = self.tables.overlap
    return Anchors(
      _float32(self.outputs.anchors),
      _float32(self.outputs.anchor_offset),
      inverse_temperature(_float32(self.outputs.anchor_log_scale)),
      pathways.jaccard(self.tables.membership) if overlap is None else overlap,
    )

  @functools.cached_property
  def regions(self) -> tuple[Level, ...]:
    """The regions of each level, finest first."""
    return tuple(
      _level(self, ids[self.batch.spot_index].reshape(-1)) for ids in self.tables.regions
    )

  def _shuffled(self, leaves):
    if self.shuffle is None:
      return leaves
    return jax.tree.map(lambda leaf: leaf[self.shuffle], leaves)


def _level(inputs: Inputs, region_ids: Int[Array, " spot"]) -> Level:
  pairs, rows = inputs.pairs, inputs.config.max_regions
  segment, present = regions.compact(region_ids, pairs.valid, rows)
  adjacent = regions.adjacency(
    segment,
    pairs.positions_um,
    pairs.section,
    radius_um=inputs.config.neighbour_radius_um,
    max_regions=rows,
    block=block_of(pairs.valid.size),
  )
  sides = inputs.image, inputs.gene
  pooled = (regions.pool(side.embedding, side.score, segment, rows) for side in sides)
  return Level(segment, present, adjacent, *pooled)


def _flat(leaf: Array) -> Array:
  return leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])


def _float32(leaf: Array) -> Array:
  return leaf.astype(jnp.float32)
