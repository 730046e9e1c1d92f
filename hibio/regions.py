"""Regions of one batch: ids of the corpus become a few static rows that can be pooled and compared.

A spot's `segment` is the row of its region; `max_regions` stands for "in no region".
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hibio.masked import unit
from hibio.pairwise import map_rows, near


def compact(
  region_ids: Int[Array, " spot"], mask: Bool[Array, " spot"], max_regions: int
) -> tuple[Int[Array, " spot"], Bool[Array, " region"]]:
  """Segment of each spot, and which rows are in use.

  If the batch holds more regions than rows, those with the most spots in the batch stay: a region
  that the border of a window cuts off is the least informative.

  Args:
    region_ids: ids that are unique over the corpus; -1 for none.
    mask: spots that count.
  """
  none = jnp.iinfo(region_ids.dtype).max
  ids = jnp.where(mask & (region_ids >= 0), region_ids, none)
  found, counts = jnp.unique(ids, return_counts=True, size=ids.size, fill_value=none)
  counts = jnp.where(found == none, 0, counts)
  order = jnp.argsort(-counts, stable=True)[:max_regions]
  chosen = jnp.where(counts[order] > 0, found[order], none)
  chosen = jnp.sort(jnp.pad(chosen, (0, max_regions - chosen.size), constant_values=none))
  segment = jnp.searchsorted(chosen, ids).astype(jnp.int32)
  hit = (chosen[jnp.minimum(segment, max_regions - 1)] == ids) & (ids != none)
  return jnp.where(hit, segment, max_regions), chosen != none


def pool(
  embedding: Float[Array, "spot width"],
  score: Float[Array, " spot"],
  segment: Int[Array, " spot"],
  max_regions: int,
) -> Float[Array, "region width"]:
  """Unit-norm mean of each region's spots, weighted by the softmax of `score` in the region."""
  inside = jax.nn.one_hot(segment, max_regions, dtype=bool)
  highest = jnp.where(inside, score[:, None], -jnp.inf).max(0, initial=-jnp.inf)
  highest = jax.lax.stop_gradient(jnp.where(jnp.isfinite(highest), highest, 0.0))
  weight = jnp.where(
    inside, jnp.exp(jnp.where(inside, score[:, None] - highest[None, :], 0.0)), 0.0
  )
  # A product of matrices and no scatter: the order of additions is the same in every run.
  weight /= jnp.maximum(weight.sum(0, keepdims=True), 1e-12)
  return unit(weight.T @ embedding)


def adjacency(
  segment: Int[Array, " spot"],
  positions_um: Float[Array, "spot 2"],
  section: Int[Array, " spot"],
  *,
  radius_um: float,
  max_regions: int,
  block: int | None = None,
) -> Bool[Array, "region region"]:
  """Which regions touch: some spot of one lies within `radius_um` of a spot of the other.

  A region touches itself.
  """
  inside = jax.nn.one_hot(segment, max_regions, dtype=jnp.float32)

  def regions_near(one, others):
    (position, own), (positions_um, section, inside) = one, others
    close = near(position, own, positions_um, section, radius_um)
    return close.astype(jnp.float32) @ inside > 0

  touched = map_rows(regions_near, (positions_um, section), (positions_um, section, inside), block)
  return inside.T @ touched.astype(jnp.float32) > 0


def parents(
  fine: Int[Array, " spot"], coarse: Int[Array, " spot"], max_regions: int
) -> Int[Array, " region"]:
  """Row of the coarser region that each finer one lies in; `max_regions` for none."""
  inside = jax.nn.one_hot(fine, max_regions, dtype=bool)
  found = jnp.where(inside & (coarse < max_regions)[:, None], coarse[:, None], -1)
  highest = found.max(0, initial=-1)
  return jnp.where(highest < 0, max_regions, highest)
