"""What is wrong with the patch under a spot, as far as pixels tell: ink, blur, glass, the border.

Flags are kept beside spots, for whoever wants to leave these out; what cannot be read, or lies
largely beside the image, goes.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import laplace

from data_pipelines.problems import BadInputError
from data_pipelines.section import FLAGS, Section, StreamedSection

PATCH_UM = 112.0
_PX, _LEAST_PX = 112, 4
"""A pixel of what is judged is a micrometre, or one of the image where these are coarse."""

_COARSEST_UM = 1.5
"""Above so many micrometres a pixel, sharp tissue looks blurred."""

_BLURRED = 0.025
"""Variance of the Laplacian by that of the brightness. Of 246 patches of four real slides one is
below; of the same patches, blurred by a Gaussian of 2 um, all but a few (the highest 0.027)."""

_SHADE, _LIGHT, _BLACK = 20, 180, 50
"""Haematoxylin and eosin take green most: what takes more red by `_SHADE` is ink, and so is black;
red ink cannot be told from blood. On 9 real slides without ink at most 0.11 of a patch is so."""
_INKED = 0.2

_EVEN, _BRIGHT = 25.0, 200.0
"""Variance and mean of the brightness of glass; tissue of four real slides varies by 690."""

_MOST_PADDED, _MOST_DAMAGED, _NOTHING = 0.25, 0.05, 1e-6
_SHARED_UM = 56.0
"""Spots of a square of this side share one judgement: bins lie closer than patches are wide."""


Flags = dict[str, Bool[np.ndarray, " spot"]]
"""One of `FLAGS` -> which spots have it."""


def judged(section: Section, patch_um: float = PATCH_UM) -> Section:
  """The section with `flags` of its patches, without spots whose patch cannot be used.

  References:
    Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548 (variance of the Laplacian).

  Raises:
    BadInputError: the image cannot be decoded, or many of its patches cannot.
  """
  if section.image is None:
    return section
  share = _padding(section, patch_um)
  section = section.subset(
    share <= _MOST_PADDED, "spots whose patch lies by more than a quarter beside the image"
  )
  padded = share[share <= _MOST_PADDED] > _NOTHING
  if not section.num_spots:
    return section
  spots, of_spot = _representatives(section.positions_um)
  try:
    flags = _looks(section, spots)
  except BadInputError as problem:
    whole = _readable(section, patch_um, problem)
    section, padded = section.subset(whole, "spots on a damaged part of the image"), padded[whole]
    spots, of_spot = _representatives(section.positions_um)
    flags = _looks(section, spots)
  return dataclasses.replace(section, flags=_named(padded, flags[of_spot]))


def in_words(section: Section) -> list[str]:
  """How many spots have which flag, and what could not be judged."""
  counts = [f"{int(spots.sum()):,} {name}" for name, spots in section.flags.items() if spots.any()]
  coarse = section.flags and section.um_per_px > _COARSEST_UM
  return counts + ([f"blur not judged ({section.um_per_px:.3g} um a pixel)"] if coarse else [])


def flags_of(section: Section | StreamedSection, patch_um: float = PATCH_UM) -> Flags:
  """Flags of all spots of a section, which stay; of one without an image, none is set.

  Raises:
    BadInputError: the image cannot be decoded.
  """
  if section.image is None:
    return {name: np.zeros(section.num_spots, bool) for name in FLAGS}
  padded = _padding(section, patch_um) > _NOTHING
  spots, of_spot = _representatives(section.positions_um)
  return _named(padded, _looks(section, spots)[of_spot])


def _named(padded: Bool[np.ndarray, " spot"], looks: Bool[np.ndarray, "spot flag"]) -> Flags:
  return dict(zip(FLAGS, np.c_[padded, looks].T, strict=True))


def _padding(section: Section | StreamedSection, patch_um: float) -> Float[np.ndarray, " spot"]:
  """Share of each patch that lies beside the image."""
  half = patch_um / section.um_per_px / 2
  size = np.array([section.image.width_px, section.image.height_px])
  low, high = section.positions_px - half, section.positions_px + half
  inside = np.clip(np.minimum(high, size) - np.maximum(low, 0), 0, None)
  return 1 - inside.prod(axis=1) / (2 * half) ** 2


def _representatives(
  positions_um: Float[np.ndarray, "spot 2"],
) -> tuple[Int[np.ndarray, " judged"], Int[np.ndarray, " spot"]]:
  """A spot of each square, and which of them stands for each spot."""
  squares = np.floor(positions_um / _SHARED_UM).astype(np.int64)
  _, spots, of_spot = np.unique(squares, axis=0, return_index=True, return_inverse=True)
  return spots, of_spot.ravel()


def _looks(
  section: Section | StreamedSection, spots: Int[np.ndarray, " judged"]
) -> Bool[np.ndarray, "judged flag"]:
  side_px, fine = PATCH_UM / section.um_per_px, section.um_per_px <= _COARSEST_UM
  out_px = _PX if fine else max(round(side_px), _LEAST_PX)
  patches = section.image.crops(section.positions_px[spots], side_px, out_px)
  flags = np.array([_of_patch(patch) for patch in patches])
  if not fine:
    flags[:, 1:] = False
  return flags


def _of_patch(patch: UInt8[np.ndarray, "side side 3"]) -> tuple[bool, bool, bool]:
  """Whether a patch shows ink, is blurred, and shows nothing."""
  red, green, _ = np.moveaxis(patch.astype(np.int16), -1, 0)
  ink = ((green > red + _SHADE) & (red < _LIGHT)) | (patch.max(axis=-1) < _BLACK)
  grey = patch.astype(np.float32).mean(axis=-1)
  varies = float(grey.var())
  blank = varies < _EVEN and float(grey.mean()) > _BRIGHT
  sharp = float(laplace(grey)[1:-1, 1:-1].var())
  return float(ink.mean()) > _INKED, not blank and sharp < _BLURRED * varies, blank


def _readable(
  section: Section, patch_um: float, problem: BadInputError
) -> Bool[np.ndarray, " spot"]:
  """Spots whose patches can be decoded, where others cannot.

  Raises:
    BadInputError: the image is decoded as a whole, or too much of it is damaged.
  """
  if not section.image.is_read_in_parts():
    raise problem
  side_px = max(patch_um, PATCH_UM) / section.um_per_px
  damaged = section.image.damaged(section.positions_px, side_px)
  if damaged.mean() > _MOST_DAMAGED:
    raise BadInputError(
      section.image.path,
      problem.field,
      f"{problem.found}, under {int(damaged.sum()):,} of {section.num_spots:,} spots",
      f"an image of which at most {_MOST_DAMAGED:.0%} of the spots lie on damaged parts",
      problem.fix,
    )
  return ~damaged
