"""Level 3: contiguous regions, their image and molecular sides, and how levels fit together.

Regions of a batch are rows (see `hibio.regions`). Regions that touch are excluded as negatives of
each other: tissue changes gradually.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hibio import regions as rows
from hibio.batch import Batch
from hibio.configs import ObjectiveConfig
from hibio.layout import by_rows
from hibio.masked import entropy, masked_log_softmax, masked_softmax, safe_log
from hibio.objectives.base import Objective, Values
from hibio.objectives.inputs import Level, Pairs, Side


def region_contrast(
  image: Float[Array, "region width"],
  gene: Float[Array, "region width"],
  present: Bool[Array, " region"],
  adjacent: Bool[Array, "region region"],
  *,
  temperature: float,
) -> tuple[Float[Array, " region"], Float[Array, " region"]]:
  """Symmetric cross-entropy of each region against the others, and what guessing gives.

  Guessing gives the log of the number of candidates; both are 0 for rows that are not in use.

  >>> used, apart = jnp.array([True, True, False]), jnp.eye(3, dtype=bool)
  >>> loss, chance = region_contrast(jnp.eye(3), jnp.eye(3), used, apart, temperature=0.05)
  >>> bool((loss < 1e-6).all()), chance.round(2)
  (True, Array([0.69, 0.69, 0.  ], dtype=float32))
  """
  own = jnp.eye(len(present), dtype=bool)
  allowed = (present[None, :] & ~adjacent) | own
  logits = image @ gene.T / temperature
  to_gene = jnp.diagonal(masked_log_softmax(logits, allowed))
  to_image = jnp.diagonal(masked_log_softmax(logits.T, allowed))
  chance = jnp.log(allowed.sum(-1, dtype=jnp.float32))
  return jnp.where(present, -0.5 * (to_gene + to_image), 0.0), jnp.where(present, chance, 0.0)


def spot_to_region(
  embedding: Float[Array, "spot width"],
  regions: Float[Array, "region width"],
  segment: Int[Array, " spot"],
  present: Bool[Array, " region"],
  adjacent: Bool[Array, "region region"],
  *,
  temperature: float,
) -> tuple[Float[Array, " spot"], Float[Array, " spot"]]:
  """Cross-entropy of a spot's own region in the other modality, and what guessing gives.

  Regions that touch the spot's own are excluded as candidates. Both are 0 for spots in no region.

  Args:
    embedding: of one modality.
    regions: pooled from the other one.

  >>> regions, used, apart = jnp.eye(2), jnp.ones(2, bool), jnp.eye(2, dtype=bool)
  >>> own, none = 0, 2
  >>> loss, chance = spot_to_region(
  ...   jnp.eye(2), regions, jnp.array([own, none]), used, apart, temperature=0.05
  ... )
  >>> bool((loss < 1e-6).all()), chance.round(2)
  (True, Array([0.69, 0.  ], dtype=float32))
  """
  max_regions = len(present)
  somewhere = segment < max_regions
  row = jnp.minimum(segment, max_regions - 1)
  own = jax.nn.one_hot(row, max_regions, dtype=bool)
  allowed = (present[None, :] & ~adjacent[row]) | own
  log_probability = masked_log_softmax(embedding @ regions.T / temperature, allowed)
  loss = -jnp.where(own, log_probability, 0.0).sum(-1)
  chance = jnp.log(allowed.sum(-1, dtype=jnp.float32))
  return jnp.where(somewhere, loss, 0.0), jnp.where(somewhere, chance, 0.0)


def hierarchy(
  embedding: Float[Array, "spot width"],
  fine: Float[Array, "region width"],
  coarse: Float[Array, "region width"],
  parent: Int[Array, " region"],
  *,
  temperature: float,
) -> Float[Array, " spot"]:
  """Divergence KL(coarse assignment || fine assignment summed over each parent), in nats.

  A spot's assignment is the softmax of its similarity to the regions of a level. The coarse side
  gets no gradient: finer regions learn to add up to what the coarser ones say. Only finer regions
  with a parent and coarser ones with a child take part.

  Args:
    parent: row in `coarse` of each row of `fine`; the number of rows for none.

  >>> fine, parent = jnp.eye(4), jnp.array([0, 0, 1, 1])
  >>> coarse = jnp.zeros((4, 4)).at[0, :2].set(1.0).at[1, 2:].set(1.0)
  >>> hierarchy(fine[:1], fine, coarse, parent, temperature=0.1).round(2)
  Array([0.], dtype=float32)
  >>> bool(hierarchy(fine[:1], fine, coarse, parent[::-1], temperature=0.1) > 1)
  True
  """
  nesting = jax.nn.one_hot(parent, len(coarse), dtype=fine.dtype)
  has_parent, has_child = nesting.any(1), nesting.any(0)

  def assignment(regions, allowed):
    logits = embedding @ regions.T / temperature
    return masked_softmax(logits, jnp.broadcast_to(allowed[None, :], logits.shape))

  target = jax.lax.stop_gradient(assignment(coarse, has_child))
  summed = assignment(fine, has_parent) @ nesting
  return (target * (safe_log(target) - safe_log(summed))).sum(-1)


def smoothness(
  assignment: Float[Array, "window spot region"],
  positions_um: Float[Array, "window spot 2"],
  mask: Bool[Array, "window spot"],
  *,
  radius_um: float,
  num_neighbours: int = 6,
) -> tuple[Float[Array, "window spot neighbour"], Bool[Array, "window spot neighbour"]]:
  """Jensen-Shannon divergence of the assignments of neighbouring spots, and which edges exist.

  Edges go from a spot to its nearest spots of the same window within `radius_um`.

  Args:
    assignment: probabilities of the regions; 0 throughout for spots that have none.

  >>> along = jnp.array([[[0.0, 0.0], [100.0, 0.0], [900.0, 0.0]]])
  >>> values, exists = smoothness(jnp.eye(3)[None], along, jnp.ones((1, 3), bool), radius_um=150.0)
  >>> values[exists].round(2)  # one edge, seen from both ends: ln 2
  Array([0.69, 0.69], dtype=float32)
  """
  num_spots = mask.shape[1]
  offsets = positions_um[:, :, None] - positions_um[:, None]
  squared = (offsets**2).sum(-1)
  edge = mask[:, :, None] & mask[:, None] & ~jnp.eye(num_spots, dtype=bool)[None]
  edge &= squared < radius_um**2
  number = min(num_neighbours, num_spots)
  closeness, neighbour = by_rows(
    lambda rows, _: tuple(jax.lax.top_k(rows, number)), jnp.where(edge, -squared, -jnp.inf)
  )
  # One-hot and no gather: the backward pass then adds in the same order in every run.
  pick = jax.nn.one_hot(neighbour, num_spots, dtype=assignment.dtype)
  other = jnp.einsum("wknj,wjr->wknr", pick, assignment)
  mixed = 0.5 * (assignment[:, :, None] + other)
  own_entropy = entropy(assignment)[:, :, None]
  values = entropy(mixed) - 0.5 * (own_entropy + entropy(other))
  exists = jnp.isfinite(closeness)
  return jnp.where(exists, values, 0.0), exists


def _region(regions: tuple[Level, ...], config: ObjectiveConfig) -> list[Values]:
  found = []
  for level in regions:
    loss, chance = region_contrast(
      level.image,
      level.gene,
      level.present,
      level.adjacent,
      temperature=config.region_temperature,
    )
    found.append(Values(loss, level.present, chance))
  return found


def _spot_to_region(
  image: Side, gene: Side, regions: tuple[Level, ...], config: ObjectiveConfig
) -> list[Values]:
  found = []
  for side, across in _across(image, gene):
    for level in regions:
      loss, chance = spot_to_region(
        side.embedding,
        getattr(level, across),
        level.segment,
        level.present,
        level.adjacent,
        temperature=config.region_temperature,
      )
      found.append(Values(loss, level.segment < config.max_regions, chance))
  return found


def _hierarchy(
  image: Side, gene: Side, pairs: Pairs, regions: tuple[Level, ...], config: ObjectiveConfig
) -> list[Values]:
  return [
    Values(
      hierarchy(
        side.embedding,
        getattr(fine, across),
        getattr(coarse, across),
        rows.parents(fine.segment, coarse.segment, config.max_regions),
        temperature=config.region_temperature,
      ),
      pairs.valid,
    )
    for side, across in _across(image, gene)
    for fine, coarse in zip(regions, regions[1:], strict=False)
  ]


def _smoothness(
  image: Side,
  gene: Side,
  pairs: Pairs,
  regions: tuple[Level, ...],
  batch: Batch,
  config: ObjectiveConfig,
) -> list[Values]:
  finest, windows = regions[0], batch.spot_mask.shape
  valid, found = pairs.valid.reshape(windows), []
  for side, across in _across(image, gene):
    embedding = side.embedding.reshape(*windows, -1)
    probabilities = masked_softmax(
      embedding @ getattr(finest, across).T / config.region_temperature,
      valid[..., None] & finest.present[None, None],
    )
    loss, exists = smoothness(
      probabilities, batch.positions_um, valid, radius_um=config.neighbour_radius_um
    )
    found.append(Values(loss, exists))
  return found


def _across(image: Side, gene: Side) -> tuple[tuple[Side, str], ...]:
  """A spot of one modality is always compared with the regions of the other."""
  return (image, "gene"), (gene, "image")


REGION = Objective("region", stage="region", weight=0.3, function=_region)
SPOT_TO_REGION = Objective("spot_to_region", stage="region", weight=0.3, function=_spot_to_region)
HIERARCHY = Objective("hierarchy", stage="region", weight=0.25, function=_hierarchy)
SMOOTHNESS = Objective("smoothness", stage="region", weight=0.1, function=_smoothness)
