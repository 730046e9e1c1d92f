"""Whether spots lie on the tissue that their image shows.

Colour tells tissue from glass (see `readers.slide`). An image of another section, or one that was
turned or mirrored after the spots were placed, shows tissue elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from scipy.stats import rankdata

from data_pipelines import pixels
from data_pipelines.problems import BadInputError
from data_pipelines.readers.array_fit import SAY
from data_pipelines.readers.slide import check_not_blank, colour, mask_of
from data_pipelines.section import spacing
from data_pipelines.slide_image import SlideImage

_THUMBNAIL_PX = 1000
_GRID = 150
_EVERYWHERE = np.stack(np.meshgrid(*[(np.arange(_GRID) + 0.5) / _GRID] * 2), -1).reshape(-1, 2)
"""Places all over an image, as shares of width and height."""
_EVERYWHERE_TISSUE = 0.95
_HANGS_TOGETHER = 0.6
"""Agreement of neighbouring places, beyond chance; 0.8 to 0.9 on real sections."""
_SMOOTHED_PX = 10
"""Within so many pixels anything agrees: colours are smoothed before they are judged."""
_MOST_SPOTS = 20_000
_FEW, _LIKELY, _CLEARLY = 0.35, 0.6, 0.3
"""Shares of spots on tissue. The lowest of 14 real sections is 0.67, on grey matter."""
_WELL, _FAR_BETTER = 0.85, 0.2
"""Overlap of spots and tissue by which they belong together, and by which one way of laying them
is better than another."""
_MORE_COLOURED = 0.85
"""Chance that a spot is more coloured than a place without spots: pale tissue passes by it."""
_BEYOND = 2.0
"""Tissue away from spots by that under them; at most 1.3 on 14 real sections. Positions in pixels
of an image of half the size give 3 or more."""
_TURNS = {
  "": lambda places: places,
  "mirrored left to right": lambda places: places * [-1, 1] + [1, 0],
  "mirrored top to bottom": lambda places: places * [1, -1] + [0, 1],
  "turned by 180 degrees": lambda places: 1 - places,
}
_EXCHANGED = "with x and y exchanged"
_SQUARE_TURNS = {
  "turned by 90 degrees": lambda places: places[:, ::-1] * [1, -1] + [0, 1],
  "turned by 270 degrees": lambda places: places[:, ::-1] * [-1, 1] + [1, 0],
  "mirrored along the other diagonal": lambda places: 1 - places[:, ::-1],
}


class Lying(NamedTuple):
  """How spots lie on an image.

  Attributes:
    on_tissue: share of them on tissue.
    more_coloured: chance that one of them is more coloured than a place away from all.
    elsewhere: share of the places away from spots that is tissue.
    beyond: this tissue by that under spots.
  """

  on_tissue: float
  more_coloured: float
  elsewhere: float
  beyond: float

  @property
  def overlap(self) -> float:
    """What is both under spots and tissue, by what is either."""
    return self.on_tissue / (1 + self.beyond * self.on_tissue)


def checked(
  image: SlideImage, positions_px: Float[np.ndarray, "spot 2"], file: Path
) -> tuple[str, ...]:
  """What a careful user should know of the image under these spots.

  Raises:
    BadInputError: the image is blank or cannot be read, or the spots lie beside its tissue.
  """
  thumbnail = image.thumbnail(_THUMBNAIL_PX)
  positions_px = positions_px[:: max(1, len(positions_px) // _MOST_SPOTS)]
  check_not_blank(image, thumbnail)
  height, width = thumbnail.shape[:2]
  places = (positions_px + 0.5) / [image.width_px, image.height_px]
  unlike = pixels.unlike_he(_at(thumbnail, places).astype(np.float64))
  values = colour(thumbnail)
  mask = mask_of(values)
  if not _is_tissue(mask, places):
    return (unlike or "no tissue to be told from glass on the image: look at the overlay",)
  square = abs(width - height) <= 0.02 * width
  exchange = {_EXCHANGED: lambda places: places[:, ::-1] * [height / width, width / height]}
  turns = _TURNS | exchange | (_SQUARE_TURNS if square else {})
  lying = {how: _lying(values, mask, turn(places)) for how, turn in turns.items()}
  own = lying.pop("")
  how, other = max(lying.items(), key=lambda item: item[1].overlap)
  fits = other.overlap > max(_WELL, own.overlap + _FAR_BETTER)
  if not fits:
    how, other = max(lying.items(), key=lambda item: item[1].on_tissue)
  better = (
    fits or other.on_tissue > own.on_tissue + _CLEARLY and other.more_coloured > own.more_coloured
  )
  aside = own.on_tissue < _FEW and own.more_coloured < _MORE_COLOURED
  seen = f"{own.on_tissue:.0%} of the spots on tissue of {image.path.name}"
  seen += f" ({other.on_tissue:.0%} if it were {how})" if better else ""
  exchanged = f"say swapped, in {SAY}; or " if better and how == _EXCHANGED else ""
  if (aside and own.elsewhere > 0.02) or fits or (better and own.on_tissue < _LIKELY):
    raise BadInputError(
      file,
      "image",
      seen,
      "the image of this section, as it lay under the spots",
      f"{exchanged}give the image that the positions were measured on; if it is that, say as_is, "
      f"in {SAY}",
    )
  doubtful = f"only {seen}: look at the overlay" if own.on_tissue < _LIKELY else None
  partly = (
    f"{image.path.name} shows {own.beyond:.1f} times as much tissue away from all spots as under "
    "them: look at the overlay (so it is where positions are pixels of a smaller image)"
    if own.beyond > _BEYOND
    else None
  )
  return tuple(note for note in (unlike, doubtful, partly) if note)


def _lying(
  values: Float[np.ndarray, "height width"],
  mask: Bool[np.ndarray, "height width"],
  places: Float[np.ndarray, "spot 2"],
) -> Lying:
  """
  Args:
    values: colour of each pixel.
    places: of the spots, as shares of width and height.
  """
  beside = cKDTree(places).query(_EVERYWHERE)[0] > (spacing(places) or 0.0)
  away, near = _EVERYWHERE[beside], _EVERYWHERE[~beside]
  on = float(_at(mask, places).mean())
  if not len(away):
    return Lying(on, 1.0, 0.0, 0.0)
  ranks = rankdata(np.concatenate([_at(values, places), _at(values, away)]))
  above = ranks[: len(places)].mean() - (len(places) + 1) / 2
  elsewhere = _at(mask, away)
  beyond = elsewhere.sum() / max(1, _at(mask, near).sum())
  return Lying(on, float(above / len(away)), float(elsewhere.mean()), float(beyond))


def _is_tissue(mask: Bool[np.ndarray, "height width"], places: Float[np.ndarray, "spot 2"]) -> bool:
  """Whether it hangs together from one spot to the next: tissue does, speckles do not."""
  here = _at(mask, _EVERYWHERE)
  step = np.maximum(spacing(places) or 0.0, _SMOOTHED_PX / np.array(mask.shape[::-1]))
  steps = [_at(mask, _EVERYWHERE + np.eye(2)[axis] * step) for axis in (0, 1)]
  if not 0 < here.mean() < _EVERYWHERE_TISSUE:
    return bool(here.any())
  chance = here.mean() ** 2 + (1 - here.mean()) ** 2
  agree = np.mean([np.mean(here == there) for there in steps])
  return bool(agree - chance > _HANGS_TOGETHER * (1 - chance))


def _at(values: np.ndarray, places: Float[np.ndarray, "spot 2"]) -> np.ndarray:
  height, width = values.shape[:2]
  column, row = np.clip((places * [width, height]).astype(int), 0, [width - 1, height - 1]).T
  return values[row, column]
