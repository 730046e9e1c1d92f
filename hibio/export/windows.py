"""The windows of one section as batches of one shape, and the compiled model that reads them.

Patches are cut and encoded as in a prepared corpus: a model is only used right on spots that are
read, cut and counted as those it was trained on.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator

import jax
import numpy as np
import scipy.sparse
import simplejpeg
from jaxtyping import Bool, Float, Int

from data_pipelines import console
from data_pipelines.preparation.windows import contiguous_windows, jpegs
from data_pipelines.section import StreamedSection
from hibio.batch import Batch, Tables
from hibio.model import HiBio

WINDOWS_PER_BATCH = 4


@dataclasses.dataclass(frozen=True)
class Shape:
  """Sizes that a model was trained with.

  Attributes:
    window_spots: most spots of a window.
    patch_px: side of a patch; 0 where features stand in for patches.
    patch_um: the same on the tissue.
    num_genes: genes of the panel.
    num_features: that the model reads of each spot in place of a patch.
  """

  window_spots: int
  patch_px: int
  patch_um: float
  num_genes: int
  num_features: int = 0


def batches(
  section: StreamedSection,
  counts: Callable[[Int[np.ndarray, " row"]], scipy.sparse.csr_matrix] | None,
  has_counts: Bool[np.ndarray, " spot"],
  shape: Shape,
  features: Float[np.ndarray, "spot feature"] | None = None,
) -> Iterator[tuple[Int[np.ndarray, "window spot"], Batch]]:
  """(number of each spot within the section, -1 for padding; the batch), each spot once.

  Args:
    counts: reads the counts of spots, whose numbers rise, over the panel.
    has_counts: spots with any.
    features: what is read in place of patches.
  """
  window = contiguous_windows(section.positions_um, shape.window_spots)
  order = np.argsort(window, kind="stable")
  starts = np.searchsorted(window[order], np.arange(window.max() + 2))
  on_image = section.on_image()
  patches = _patches(section, order[on_image[order]], shape)
  for first in range(0, len(starts) - 1, WINDOWS_PER_BATCH):
    spots = np.full((WINDOWS_PER_BATCH, shape.window_spots), -1)
    for place, (start, stop) in enumerate(_pairs(starts[first : first + WINDOWS_PER_BATCH + 1])):
      spots[place, : stop - start] = order[start:stop]
    batch = _batch(section, counts, spots, has_counts, on_image, patches, shape)
    if features is not None:
      real = (spots >= 0)[..., None]
      batch = batch.replace(features=np.where(real, features[np.maximum(spots, 0)], np.float32(0)))
    yield spots, batch


def _pairs(values: np.ndarray) -> Iterator[tuple[int, int]]:
  return zip(values[:-1].tolist(), values[1:].tolist(), strict=True)


def _batch(section, counts, spots, has_counts, on_image, patches, shape: Shape) -> Batch:
  real = spots >= 0
  chosen = spots[real]
  px = shape.patch_px
  pixels = np.zeros((*spots.shape, px, px, 3), np.uint8)
  for window, place in np.argwhere(real) if px else ():
    if on_image[spots[window, place]]:
      simplejpeg.decode_jpeg(next(patches), buffer=pixels[window, place])
  dense = np.zeros((*spots.shape, shape.num_genes), np.int32)
  if counts is not None:
    rising = np.argsort(chosen)
    own = counts(chosen[rising]).tocoo()
    windows, places = (axis[rising] for axis in np.nonzero(real))
    dense[windows[own.row], places[own.row], own.col] = own.data
  positions = np.zeros((*spots.shape, 2), np.float32)
  positions[real] = section.positions_um[chosen]
  return Batch(
    patches=pixels,
    counts=dense,
    positions_um=positions,
    spot_mask=real,
    has_patch=_spread(on_image, spots),
    has_counts=_spread(has_counts, spots),
    section_index=np.zeros(len(spots), np.int32),
    spot_index=np.maximum(spots, 0).astype(np.int32),
  )


def _spread(flags: np.ndarray, spots: np.ndarray) -> np.ndarray:
  return flags[np.maximum(spots, 0)] & (spots >= 0)


def _patches(section: StreamedSection, order: np.ndarray, shape: Shape) -> Iterator[bytes]:
  """Patches in the order in which they are asked for; JPEG, as the model has seen them."""
  if section.image is None or not len(order) or not shape.patch_px:
    return iter(())
  return jpegs(
    section.image, section.positions_px[order], section.um_per_px, shape.patch_um, shape.patch_px
  )


Read = Callable[..., dict[str, jax.Array]]
"""(params, batch, tables) -> "image", "gene", "pathways", "predicted", as far as asked for."""


@functools.lru_cache(maxsize=16)
def compiled(model: HiBio, sees: tuple[str, ...], pathways: bool, predicted: bool) -> Read:
  """The jitted model; what it does not return, a whole tower perhaps, is not computed.

  Args:
    sees: "image", "gene" or both. Pathways and predicted expression are read off the first.
    pathways: also the cosine of each spot with each anchor.
    predicted: also expression standardised in its section.
  """

  @jax.jit
  def read(params, batch: Batch, tables: Tables) -> dict[str, jax.Array]:
    outputs = model.apply({"params": params}, batch, tables.statistics, tables.membership)
    found = {name: getattr(outputs, name) for name in sees}
    if pathways:
      found["pathways"] = found[sees[0]] @ outputs.anchors.T
    if predicted:
      found["predicted"] = getattr(outputs, f"predicted_from_{sees[0]}")
    return found

  return console.announcing(read, "compiling the model", "5 to 30 s on a CPU")
