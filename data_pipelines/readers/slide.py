"""Finds tissue on an H&E image: coloured, where glass is white and what was cut away is black.

A first guess that finds sections on their slide; folds, pen marks and blur are not recognised.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import gaussian_filter, map_coordinates

from data_pipelines import pixels, scanner_slide
from data_pipelines.problems import BadInputError
from data_pipelines.section import StreamedSection
from data_pipelines.slide_image import SlideImage
from data_pipelines.text_files import read_numbers, read_table

THUMBNAIL_PX = 1500
_SMOOTH_PX = 2.0
_BLACK = 30
_FAINTEST, _FULL = 0.03, 0.12
"""Colour (see `colour`) below the first is glass; above the second, tissue on any slide. Glass of
real slides stays below 0.02; eosin alone reaches 0.15."""
_BINS = 256


def colour(pixels: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width"]:
  """How much more a pixel takes of one colour than of another, in optical density; grey has none.

  Black is 0: density there is noise.
  """
  channels = np.moveaxis(pixels, -1, 0).astype(float)
  smooth = np.stack([gaussian_filter(channel, _SMOOTH_PX) for channel in channels], axis=-1)
  density = -np.log10((smooth + 1.0) / 256.0)
  return np.where(smooth.max(-1) < _BLACK, 0.0, density.max(-1) - density.min(-1))


def tissue_mask(
  pixels: UInt8[np.ndarray, "height width 3"],
) -> Bool[np.ndarray, "height width"]:
  """Pixels that are tissue: coloured more than Otsu's threshold, kept within what glass and
  stains allow, so that an image of nothing but tissue is all tissue."""
  return mask_of(colour(pixels))


def mask_of(values: Float[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
  """As `tissue_mask`, of what `colour` gives."""
  return values > np.clip(otsu(values), _FAINTEST, _FULL)


def otsu(values: np.ndarray) -> float:
  """The threshold that parts values into two groups of least variance.

  References:
    Otsu 1979, doi:10.1109/TSMC.1979.4310076.
  """
  counts, edges = np.histogram(values, bins=_BINS)
  centres = (edges[:-1] + edges[1:]) / 2
  below = np.cumsum(counts)
  above = below[-1] - below
  total = np.cumsum(counts * centres)
  mean_below = total / np.maximum(below, 1)
  mean_above = (total[-1] - total) / np.maximum(above, 1)
  between = below * above * (mean_below - mean_above) ** 2
  return float(edges[1:][np.argmax(between)])


def share_of_tissue(
  image: SlideImage, positions_px: Float[np.ndarray, "spot 2"], side_px: float
) -> Float[np.ndarray, " spot"]:
  """Share of the square of `side_px` around each position that is tissue.

  Raises:
    BadInputError: there is none on the whole image.
  """
  thumbnail = image.thumbnail(THUMBNAIL_PX)
  mask = tissue_mask(thumbnail)
  if not mask.any():
    raise BadInputError(
      image.path,
      "tissue",
      "none (no coloured area)",
      "an H&E image of tissue",
      "give a stained image, or the places to read with --spots",
    )
  scale = thumbnail.shape[1] / image.width_px
  radius = max(side_px * scale / 2, 0.5)
  # Mean over a square: a running sum over each axis.
  padded = np.pad(np.cumsum(np.cumsum(mask, 0, dtype=np.int64), 1), ((1, 0), (1, 0)))

  def corner(dx: int, dy: int) -> np.ndarray:
    x = np.clip(positions_px[:, 0] * scale + dx * radius, 0, mask.shape[1])
    y = np.clip(positions_px[:, 1] * scale + dy * radius, 0, mask.shape[0])
    return map_coordinates(padded.astype(np.float64), [y, x], order=1)

  inside = corner(1, 1) - corner(-1, 1) - corner(1, -1) + corner(-1, -1)
  return inside / (2 * radius) ** 2


Grid = tuple[Float[np.ndarray, "place 2"], Int[np.ndarray, "place 2"]]
"""((x, y) of each place, its (row, column))."""


def square(width: float, height: float, pitch: float) -> Grid:
  """Places `pitch` apart along both axes, centred on the slide; all lengths in one unit."""
  columns, rows = max(int(width // pitch), 1), max(int(height // pitch), 1)
  row, column = np.divmod(np.arange(rows * columns), columns)
  return _centred(column * pitch, row * pitch, width, height), np.stack([row, column], 1)


def hexagonal(width: float, height: float, pitch: float) -> Grid:
  """Every place has six neighbours at `pitch`; rows and columns are numbered as on Visium slides,
  where neighbours in a row are two columns apart."""
  rise = pitch * np.sqrt(0.75)
  columns, rows = max(int(width / pitch - 0.5), 1), max(int(height // rise), 1)
  row, number = np.divmod(np.arange(rows * columns), columns)
  column = 2 * number + row % 2
  return _centred(column * pitch / 2, row * rise, width, height), np.stack([row, column], 1)


GRIDS: dict[str, Callable[[float, float, float], Grid]] = {
  "hexagonal": hexagonal,
  "square": square,
}


def _centred(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
  return np.stack([x + (width - np.ptp(x)) / 2, y + (height - np.ptp(y)) / 2], axis=1)


SUFFIXES = (*scanner_slide.SUFFIXES, ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".btf")
PLAUSIBLE_UM_PER_PX = (0.1, 20.0)
_MIN_TISSUE = 0.5
_MOST_PLACES = 5_000_000


@dataclasses.dataclass(frozen=True)
class Slide:
  """An image and the spots that are read on it.

  Attributes:
    section: the spots, without counts.
    spot_ids: one name a spot.
    array_positions: (row, column) on the grid; None where the places were given in a table.
    spot_um: diameter that a spot is drawn with.
  """

  section: StreamedSection
  spot_ids: np.ndarray
  array_positions: Int[np.ndarray, "spot 2"] | None
  spot_um: float


def with_grid(path: Path, um_per_px: float | None, grid: str, pitch_um: float) -> Slide:
  """The places of a grid that lie on tissue.

  Args:
    grid: a name in `GRIDS`.
    pitch_um: from one place to the next.

  Raises:
    BadInputError: no image, no scale, no tissue, or a grid finer than the image.
  """
  image = SlideImage.open(path, "full")
  um_per_px, how = scale_of(image, um_per_px)
  if grid not in GRIDS:
    raise BadInputError("--grid", "value", repr(grid), " or ".join(GRIDS), "choose one of them")
  pitch_px = pitch_um / um_per_px
  places = image.width_px * image.height_px / max(pitch_px, 1e-9) ** 2
  if not pitch_px >= 1 or places > _MOST_PLACES:
    raise BadInputError(
      "--grid_um",
      "value",
      f"{pitch_um:g}, {pitch_px:.3g} px",
      f"at least a pixel, and at most {_MOST_PLACES:,} places",
      "choose a wider grid",
    )
  positions, array = GRIDS[grid](float(image.width_px), float(image.height_px), pitch_px)
  on_tissue = share_of_tissue(image, positions, pitch_px) >= _MIN_TISSUE
  if not on_tissue.any():
    raise BadInputError(
      path,
      "tissue",
      f"none as wide as the grid's {pitch_um:g} um",
      "tissue under the grid",
      "choose a finer grid with --grid_um, or check --um_per_px",
    )
  positions, array = positions[on_tissue], array[on_tissue]
  ids = np.array([f"{row}x{column}" for row, column in array.tolist()])
  return Slide(_section(image, positions, um_per_px, how), ids, array, 0.55 * pitch_um)


def with_spots(path: Path, um_per_px: float | None, table: Path) -> Slide:
  """The places of a table with the columns `x` and `y`, in pixels of the image.

  A first column without a name, or one named `spot` or `barcode`, names the spots.

  Raises:
    BadInputError: no image, no scale, or a table without places.
  """
  image = SlideImage.open(path, "full")
  um_per_px, how = scale_of(image, um_per_px)
  rows = read_table(table)
  rows.columns = [str(name).strip().lower() for name in rows.columns]
  positions = read_numbers(rows, ["x", "y"], table).to_numpy(np.float64)
  if not len(positions):
    raise BadInputError(table, "rows", "none", "a place in each row", "add places")
  name = next((c for c in ("", "spot", "barcode") if c in rows), None)
  ids = rows[name].to_numpy(str) if name is not None else np.arange(len(rows)).astype(str)
  if len(set(ids.tolist())) < len(ids):
    raise BadInputError(table, "spots", "a name twice", "each name once", "rename one of them")
  x, y = positions.T
  if not ((x >= 0) & (x < image.width_px) & (y >= 0) & (y < image.height_px)).any():
    raise BadInputError(
      table,
      "columns x and y",
      f"x {x.min():.0f} to {x.max():.0f}, y {y.min():.0f} to {y.max():.0f}",
      f"places on the image, {image.width_px} x {image.height_px} px",
      "give pixels of this image",
    )
  return Slide(_section(image, positions, um_per_px, how), ids, None, 55.0)


def scale_of(image: SlideImage, given: float | None) -> tuple[float, str]:
  """Micrometres per pixel: as given, else by the resolution that a TIFF states.

  Raises:
    BadInputError: neither, or an absurd one.
  """
  low, high = PLAUSIBLE_UM_PER_PX
  if given is not None:
    if not low <= given <= high:
      raise BadInputError(
        "--um_per_px", "value", f"{given:g}", f"{low:g} to {high:g}", "give micrometres per pixel"
      )
    return given, "given"
  stated = image.stated_um_per_px()
  if stated is not None and low <= stated.across <= high:
    return stated.across, stated.source
  found = "nothing" if stated is None else f"{stated.across:.4g} by {stated.source}"
  raise BadInputError(
    image.path,
    "micrometres per pixel",
    found,
    f"a length of {low:g} to {high:g}",
    "give --um_per_px, e.g. 0.5 for a 20x scan",
  )


def _section(
  image: SlideImage, positions: Float[np.ndarray, "spot 2"], um_per_px: float, how: str
) -> StreamedSection:
  """
  Raises:
    BadInputError: the image is blank.
  """
  thumbnail = image.thumbnail(THUMBNAIL_PX)
  check_not_blank(image, thumbnail)
  seen = positions[image.holds(positions)] * thumbnail.shape[1] / image.width_px
  column, row = np.minimum(seen.astype(int), np.array(thumbnail.shape[1::-1]) - 1).T
  unlike = pixels.unlike_he(thumbnail[row, column].astype(np.float64))
  return StreamedSection(
    section_id=image.path.stem,
    rows=np.arange(len(positions)),
    positions_px=positions,
    um_per_px=um_per_px,
    um_per_px_source=how,
    image=image,
    notes=(unlike,) if unlike else (),
  )


def check_not_blank(image: SlideImage, thumbnail: UInt8[np.ndarray, "height width 3"]) -> None:
  """
  Raises:
    BadInputError: there is nothing to be seen.
  """
  if pixels.is_blank(thumbnail):
    raise BadInputError(
      image.path,
      f"image {image.kind}",
      "nothing but one colour: the image is blank",
      "an H&E image of tissue",
      "replace it, or, of sections with counts, say none in column image of the metadata table, or "
      "by --image",
    )
