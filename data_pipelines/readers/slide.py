"""An H&E image and nothing else: its scale, and the places on it that are read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from data_pipelines.grids import GRIDS
from data_pipelines.problems import BadInputError
from data_pipelines.slide_image import SlideImage
from data_pipelines.streamed import StreamedSection
from data_pipelines.text_files import read_numbers, read_table
from data_pipelines.tissue import share_of_tissue

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
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
      "--grid_um", "value", f"{pitch_um:g}, {pitch_px:.3g} px", "at least a pixel, and at most "
      f"{_MOST_PLACES:,} places", "choose a wider grid",
    )  # fmt: skip
  positions, array = GRIDS[grid](float(image.width_px), float(image.height_px), pitch_px)
  on_tissue = share_of_tissue(image, positions, pitch_px) >= _MIN_TISSUE
  if not on_tissue.any():
    raise BadInputError(
      path, "tissue", f"none as wide as the grid's {pitch_um:g} um", "tissue under the grid",
      "choose a finer grid with --grid_um, or check --um_per_px",
    )  # fmt: skip
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
      table, "columns x and y", f"x {x.min():.0f} to {x.max():.0f}, y {y.min():.0f} to "
      f"{y.max():.0f}", f"places on the image, {image.width_px} x {image.height_px} px",
      "give pixels of this image",
    )  # fmt: skip
  return Slide(_section(image, positions, um_per_px, how), ids, None, 55.0)


def scale_of(image: SlideImage, given: float | None) -> tuple[float, str]:
  """Micrometres a pixel: as given, else by the resolution that a TIFF states.

  Raises:
    BadInputError: neither, or an absurd one.
  """
  low, high = PLAUSIBLE_UM_PER_PX
  if given is not None:
    if not low <= given <= high:
      raise BadInputError(
        "--um_per_px", "value", f"{given:g}", f"{low:g} to {high:g}", "give micrometres a pixel"
      )
    return given, "given"
  stated = image.stated_um_per_px()
  if stated is not None and low <= stated <= high:
    return stated, "resolution in the TIFF"
  found = "nothing" if stated is None else f"{stated:.4g} by the TIFF's resolution"
  raise BadInputError(
    image.path, "micrometres a pixel", found, f"a length of {low:g} to {high:g}",
    "give --um_per_px, e.g. 0.5 for a 20x scan",
  )  # fmt: skip


def _section(
  image: SlideImage, positions: Float[np.ndarray, "spot 2"], um_per_px: float, how: str
) -> StreamedSection:
  return StreamedSection(
    section_id=image.path.stem,
    rows=np.arange(len(positions)),
    positions_px=positions,
    um_per_px=um_per_px,
    um_per_px_source=how,
    image=image,
  )
